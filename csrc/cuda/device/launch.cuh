#pragma once
// Kernel launches.

#include <cuda_runtime.h>

#include <mutex>
#include <set>
#include <utility>

#include "cuda/device/memory.h"

namespace eva::cuda::device {

/// Raises a kernel's limit of dynamic shared memory on the current device to the maximum, once. Not to the
/// size of one launch: another thread could then lower the limit before the launch.
inline void allow_shared_memory(const void* kernel) {
  static std::mutex mutex;
  static std::set<std::pair<int, const void*>> allowed;
  int device = 0;
  expect_success(cudaGetDevice(&device));
  const std::lock_guard lock(mutex);
  if (allowed.contains({device, kernel})) return;
  cudaFuncAttributes attributes;
  expect_success(cudaFuncGetAttributes(&attributes, kernel));
  const int max_bytes = current_properties().shared_bytes_per_block - int(attributes.sharedSizeBytes);
  expect_success(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, max_bytes));
  allowed.insert({device, kernel});
}

// Launches a one-dimensional grid; nothing if it has no blocks.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int grid_blocks, int block_threads, int shared_bytes, stream on,
            Arguments... arguments) {
  if (grid_blocks == 0) return;
  if (shared_bytes > 48 * 1024) allow_shared_memory(reinterpret_cast<const void*>(kernel));
  kernel<<<grid_blocks, block_threads, shared_bytes, on>>>(Parameters(arguments)...);
  expect_success(cudaGetLastError());
}

/// Bank conflicts of the last launch's ldmatrix; only the emulator counts them.
inline long ldmatrix_bank_conflicts() { return 0; }

/// Reverses the order of threads, warps and blocks; only the emulator supports it.
inline void reverse_order(bool) {}

/// Checks the kernels' accesses to the elements of this memory for uninitialized reads and for races between
/// blocks, until end_watch(); only the emulator supports it.
inline void watch(const void*, size_t, size_t, bool) {}
inline void end_watch() {}

}  // namespace eva::cuda::device
