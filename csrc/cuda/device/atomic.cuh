#pragma once
// Atomic operations on a word of global memory, and how blocks of a launch wait for each other.

#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

/// Compare and swap: sets *word to `value` if it equals `expected`. Returns the old value.
__device__ inline uint64_t atomic_cas(uint64_t* word, uint64_t expected, uint64_t value) {
  return atomicCAS(reinterpret_cast<unsigned long long*>(word), expected, value);
}

/// *word = min(*word, value)
__device__ inline void atomic_min(uint64_t* word, uint64_t value) {
  atomicMin(reinterpret_cast<unsigned long long*>(word), value);
}

/// *word += value; returns the old value.
__device__ inline uint32_t atomic_add(uint32_t* word, uint32_t value) { return atomicAdd(word, value); }

/// atomic_add of 1 that orders global memory: what the block accessed before a barrier that precedes the call
/// is visible to the caller that arrives last, and after a barrier to its block.
__device__ inline uint32_t arrive(uint32_t* word) {
  __threadfence();
  const uint32_t before = atomicAdd(word, 1u);
  __threadfence();
  return before;
}

/// Sets *word to 1 after what the block accessed before a barrier that precedes the call.
__device__ inline void publish(uint32_t* word) {
  __threadfence();
  asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(__cvta_generic_to_global(word)) : "memory");
}

/// Waits until another block has published *word. That block must be running already or have ended: take the
/// order of the work from a counter, not from block indices.
__device__ inline void wait_for(const uint32_t* word) {
  uint32_t value = 0;
  while (true) {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
                 : "=r"(value)
                 : "l"(__cvta_generic_to_global(word))
                 : "memory");
    if (value != 0) return;
    __nanosleep(100);
  }
}

}  // namespace eva::cuda::device
