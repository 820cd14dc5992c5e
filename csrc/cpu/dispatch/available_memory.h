#pragma once

#include <cstdint>
#include <string>

namespace eva::cpu {

/// Bytes that this process can still allocate.
struct available_memory {
  /// Decreases as pages are touched: MemAvailable, or what a memory cgroup (version 1 or 2) of this process
  /// or an ancestor leaves, if that is less. Reclaimable file cache counts as free.
  int64_t physical;
  /// Decreases as memory is mapped: what RLIMIT_AS and RLIMIT_DATA leave.
  int64_t address_space;
};

/// `root` is a prefix of every path, for tests.
available_memory available(const std::string& root = "");

}  // namespace eva::cpu
