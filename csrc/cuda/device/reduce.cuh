#pragma once
// Sums and maxima over a quad (the four lanes of a fragment row), a warp or a block, in a fixed order.

#include "cuda/device/shared.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

__device__ inline float quad_sum(float value) {
  for (int mask = 1; mask < 4; mask *= 2) value += shuffle_xor(value, mask);
  return value;
}

__device__ inline float quad_max(float value) {
  for (int mask = 1; mask < 4; mask *= 2) value = fmaxf(value, shuffle_xor(value, mask));
  return value;
}

template <class T> __device__ T warp_sum(T value) {
  for (int mask = 1; mask < warp_size; mask *= 2) value += shuffle_xor(value, mask);
  return value;
}

__device__ inline float warp_max(float value) {
  for (int mask = 1; mask < warp_size; mask *= 2) value = fmaxf(value, shuffle_xor(value, mask));
  return value;
}

// scratch: one T per warp. Every thread gets the sum.
template <class T> __device__ T block_sum(T value, shared_array<T> scratch) {
  value = warp_sum(value);
  block_barrier();
  if (lane_index() == 0) scratch.store(warp_index(), value);
  block_barrier();
  T total = 0;
  for (int warp = 0; warp < block_threads() / warp_size; ++warp) total += scratch.load(warp);
  return total;
}

// scratch: one float per warp. Every thread gets the maximum.
__device__ inline float block_max(float value, shared_array<float> scratch) {
  value = warp_max(value);
  block_barrier();
  if (lane_index() == 0) scratch.store(warp_index(), value);
  block_barrier();
  float largest = scratch.load(0);
  for (int warp = 1; warp < block_threads() / warp_size; ++warp) largest = fmaxf(largest, scratch.load(warp));
  return largest;
}

}  // namespace eva::cuda::device
