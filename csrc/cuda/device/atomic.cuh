#pragma once
// Atomic operations on a word of global memory.

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

}  // namespace eva::cuda::device
