#pragma once
// Starting a kernel.

#include <cuda_runtime.h>

#include "cuda/device/memory.cuh"

namespace eva::cuda::device {

// No blocks is no launch. The grid is one-dimensional.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int grid_blocks, int block_threads, int shared_bytes, stream on,
            Arguments... arguments) {
  if (grid_blocks == 0) return;
  if (shared_bytes > 48 * 1024)
    expect_success(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes));
  kernel<<<grid_blocks, block_threads, shared_bytes, on>>>(Parameters(arguments)...);
  expect_success(cudaGetLastError());
}

}  // namespace eva::cuda::device
