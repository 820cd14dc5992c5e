#pragma once

#include <cstddef>

namespace eva::cpu {

/// Workspace of the GEMMs that run on this thread, one at a time; aligned to 64 bytes. It only grows.
std::byte* workspace(size_t bytes);

}  // namespace eva::cpu
