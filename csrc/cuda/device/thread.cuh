#pragma once
// Where a thread is and how threads meet. Blocks and grids are one-dimensional; a block is a whole number of
// warps.

#include <cstdint>

namespace eva::cuda::device {

inline constexpr int warp_lanes = 32;

__device__ inline int thread_index() { return threadIdx.x; }
__device__ inline int block_index() { return blockIdx.x; }
__device__ inline int block_threads() { return blockDim.x; }
__device__ inline int grid_blocks() { return gridDim.x; }
__device__ inline int lane_index() { return threadIdx.x % warp_lanes; }
__device__ inline int warp_index() { return threadIdx.x / warp_lanes; }

// Every thread of the block arrives, at the same line; orders shared memory between them.
__device__ inline void block_barrier() { __syncthreads(); }

// Every lane of the warp arrives; orders shared memory between them. The collectives below order nothing.
__device__ inline void warp_barrier() { __syncwarp(); }

template <class T> __device__ T shuffle_xor(T value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}

// The value of the lane that this one names.
template <class T> __device__ T shuffle(T value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }

__device__ inline uint32_t warp_ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }

}  // namespace eva::cuda::device
