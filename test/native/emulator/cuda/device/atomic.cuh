#pragma once
// Host implementation of csrc/cuda/device/atomic.cuh: threads are fibers, which nothing interrupts here.
// Not instrumented, because watched memory knows no order between blocks.

#include <algorithm>
#include <cstdint>

#include "cuda/device/thread.cuh"
#include "watched_memory.h"

namespace eva::cuda::device {

__attribute__((no_sanitize("address"), noinline)) inline uint64_t atomic_cas(uint64_t* word,
                                                                             uint64_t expected,
                                                                             uint64_t value) {
  const uint64_t before = *word;
  if (before == expected) *word = value;
  return before;
}

__attribute__((no_sanitize("address"), noinline)) inline void atomic_min(uint64_t* word, uint64_t value) {
  *word = std::min(*word, value);
}

__attribute__((no_sanitize("address"), noinline)) inline uint32_t atomic_add(uint32_t* word, uint32_t value) {
  const uint32_t before = *word;
  *word += value;
  return before;
}

inline uint32_t arrive(uint32_t* word) {
  emulator::acquire();
  return atomic_add(word, 1);
}

__attribute__((no_sanitize("address"), noinline)) inline void publish(uint32_t* word) { *word = 1; }

// Blocks run one after another here, so what a block waits for must have happened.
__attribute__((no_sanitize("address"), noinline)) inline void wait_for(const uint32_t* word,
                                                                       location where = location::current()) {
  if (*word == 0) emulator::current().fail("waits for a block that has not run yet", where);
  emulator::acquire();
}

}  // namespace eva::cuda::device
