#pragma once

#include <cstdint>

namespace eva::cpu {

/// Memory for tensors, whose pages Linux only provides when they are touched: it grants more than there is
/// and kills the process later. So what all devices of the process hold and have not touched yet counts as
/// taken. Both throw out_of_memory_error with the bytes needed and those free.
void expect_free(int64_t bytes);
/// Zeros, page by page.
void* allocate_pages(int64_t bytes);
void release_pages(void* memory, int64_t bytes) noexcept;

}  // namespace eva::cpu
