#pragma once
// What threads of different blocks do to one word of global memory, in no particular order.

#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

/// Makes *word `value` if it is `expected`; what it was before.
__device__ inline uint64_t atomic_replace(uint64_t* word, uint64_t expected, uint64_t value) {
  return atomicCAS(reinterpret_cast<unsigned long long*>(word), expected, value);
}

/// *word = min(*word, value)
__device__ inline void atomic_lower(uint64_t* word, uint64_t value) {
  atomicMin(reinterpret_cast<unsigned long long*>(word), value);
}

}  // namespace eva::cuda::device
