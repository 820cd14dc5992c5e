#pragma once
// Host twin of csrc/cuda/device/atomic.cuh: threads are fibers that nothing interrupts here.

#include <algorithm>
#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

inline uint64_t atomic_replace(uint64_t* word, uint64_t expected, uint64_t value) {
  const uint64_t before = *word;
  if (before == expected) *word = value;
  return before;
}

inline void atomic_lower(uint64_t* word, uint64_t value) { *word = std::min(*word, value); }

}  // namespace eva::cuda::device
