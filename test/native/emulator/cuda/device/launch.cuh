#pragma once
// Host implementation of csrc/cuda/device/launch.cuh.

#include "block.h"
#include "cuda/device/memory.h"
#include "launch.h"
#include "watched_memory.h"

namespace eva::cuda::device {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int grid_blocks, int block_threads, int shared_bytes, stream on,
            Arguments... arguments) {
  if (grid_blocks == 0) return;
  const emulator::launch_configuration how{grid_blocks, block_threads, shared_bytes,
                                           emulator::max_threads_of(reinterpret_cast<const void*>(kernel))};
  expect_success(emulator::launch(on, how, [=] { kernel(Parameters(arguments)...); }));
}

inline long ldmatrix_bank_conflicts() { return emulator::ldmatrix_bank_conflicts; }

inline void reverse_order(bool reversed) { emulator::reversed = reversed; }

inline void watch(const void* memory, size_t bytes, size_t element_bytes, bool initialized) {
  emulator::watch(memory, bytes, element_bytes, initialized);
}
inline void end_watch() { emulator::end_watch(); }

}  // namespace eva::cuda::device
