#pragma once
// Thread indices, barriers and warp collectives. Blocks and grids are one-dimensional; a block is a whole
// number of warps.

#include <cstdint>

namespace eva::cuda::device {

inline constexpr int warp_size = 32;

__device__ inline int thread_index() { return threadIdx.x; }
__device__ inline int block_index() { return blockIdx.x; }
__device__ inline int block_threads() { return blockDim.x; }
__device__ inline int grid_blocks() { return gridDim.x; }
__device__ inline int lane_index() { return threadIdx.x % warp_size; }
__device__ inline int warp_index() { return threadIdx.x / warp_size; }

// Every thread of the block must reach the same call; orders shared memory between them.
__device__ inline void block_barrier() { __syncthreads(); }

// Every lane of the warp must reach it; orders shared memory between them. The collectives below do not.
__device__ inline void warp_barrier() { __syncwarp(); }

template <class T> __device__ T shuffle_xor(T value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}

// The value of lane `lane`.
template <class T> __device__ T shuffle(T value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }

/// The time since an arbitrary moment.
__device__ inline int64_t clock_nanoseconds() {
  int64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

__device__ inline uint32_t warp_ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }

}  // namespace eva::cuda::device
