#pragma once

#include <functional>

#include "cuda_runtime_api.h"

namespace eva::emulator {

struct launch_configuration {
  int grid_blocks, block_threads, shared_bytes;
  int max_threads;  // by __launch_bounds__; 0: not stated
};

/// Queues a kernel. Like csrc/cuda/device/launch.cuh, it returns the thread's last error, whichever call
/// caused it. What no GPU could run is an emulator::error.
cudaError_t launch(cudaStream_t on, const launch_configuration& how, std::function<void()> kernel);

/// The kernel's __launch_bounds__; 0 if it has none.
int max_threads_of(const void* kernel);

/// The opt-in maximum of shared memory per block: 99 KB, as on sm_86, sm_89 and sm_120, unless
/// EVA_CLIP_EMULATOR_SHARED_KB is set (163 on sm_80, 227 on sm_90 and sm_100).
int shared_bytes_per_block();

}  // namespace eva::emulator
