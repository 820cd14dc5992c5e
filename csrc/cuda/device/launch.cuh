#pragma once
// Kernel launches.

#include <cuda_runtime.h>

#include <mutex>
#include <set>

#include "cuda/device/memory.cuh"

namespace eva::cuda::device {

/// Raises a kernel's limit of dynamic shared memory to the device's maximum, once per kernel. Not to the size
/// of one launch: another thread could then lower the limit before the launch.
inline void allow_shared_memory(const void* kernel) {
  static std::mutex mutex;
  static std::set<const void*> allowed;
  const std::lock_guard lock(mutex);
  if (allowed.contains(kernel)) return;
  cudaFuncAttributes attributes;
  expect_success(cudaFuncGetAttributes(&attributes, kernel));
  const int max_bytes = current_properties().shared_bytes_per_block - int(attributes.sharedSizeBytes);
  expect_success(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, max_bytes));
  allowed.insert(kernel);
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

}  // namespace eva::cuda::device
