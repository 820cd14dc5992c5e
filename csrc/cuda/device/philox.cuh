#pragma once
// Philox4x32-10, a counter-based random number generator without state (Salmon et al. 2011).

#include <cstdint>

#include "cuda/device/thread.cuh"
#include "cuda/device/vector.cuh"

namespace eva::cuda::device {

__device__ inline vector16 philox(vector16 counter, uint32_t key_low, uint32_t key_high) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = static_cast<uint64_t>(0xd2511f53u) * counter.words[0];
    const uint64_t second = static_cast<uint64_t>(0xcd9e8d57u) * counter.words[2];
    counter = {
        {static_cast<uint32_t>(second >> 32) ^ counter.words[1] ^ key_low, static_cast<uint32_t>(second),
         static_cast<uint32_t>(first >> 32) ^ counter.words[3] ^ key_high, static_cast<uint32_t>(first)}};
    key_low += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
  return counter;
}

}  // namespace eva::cuda::device
