#pragma once
// Host implementation of csrc/cuda/device/launch.cuh: runs the blocks one after another before it returns,
// unless the launch is being captured.

#include "commands.h"
#include "cuda/device/memory.cuh"

namespace eva::cuda::device {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int grid_blocks, int block_threads, int shared_bytes, stream,
            Arguments... arguments) {
  if (emulator::fails(emulator::failing_launch)) throw error("invalid configuration argument", false);
  emulator::submit([=] {
    emulator::run_grid(grid_blocks, block_threads, size_t(shared_bytes), [&] { kernel(arguments...); });
  });
}

}  // namespace eva::cuda::device
