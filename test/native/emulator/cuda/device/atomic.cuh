#pragma once
// Host implementation of csrc/cuda/device/atomic.cuh: threads are fibers, which nothing interrupts here.

#include <algorithm>
#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

inline uint64_t atomic_cas(uint64_t* word, uint64_t expected, uint64_t value) {
  const uint64_t before = *word;
  if (before == expected) *word = value;
  return before;
}

inline void atomic_min(uint64_t* word, uint64_t value) { *word = std::min(*word, value); }

}  // namespace eva::cuda::device
