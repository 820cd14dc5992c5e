#pragma once

#include <cstdint>
#include <string>

namespace eva::cpu {

/// Bytes that this process may still take.
struct available_memory {
  /// Falls as pages are touched: what the machine has available, or less where a memory cgroup of this
  /// process (version 1 or 2) or one above it leaves less. File cache that the kernel would give up counts as
  /// free.
  int64_t to_touch;
  /// Falls as memory is mapped: what RLIMIT_AS and RLIMIT_DATA leave.
  int64_t to_map;
};

/// `root` is put before every path, for tests.
available_memory available(const std::string& root = "");

}  // namespace eva::cpu
