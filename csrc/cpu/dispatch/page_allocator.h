#pragma once

#include <cstdint>

namespace eva::cpu {

/// Page-aligned memory for tensors. Linux overcommits: pages are backed when first touched, and a process
/// that touches too many is killed. So memory that all devices of the process have allocated but not touched
/// counts as used. Both functions throw out_of_memory_error with the bytes needed and free.
void expect_free(int64_t bytes);
/// Zero-initialized, rounded up to whole pages.
void* allocate_pages(int64_t bytes);
void release_pages(void* memory, int64_t bytes) noexcept;

}  // namespace eva::cpu
