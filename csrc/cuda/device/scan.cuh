#pragma once
// Counting and numbering the lanes of a ballot.

#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

__device__ inline int count_lanes(uint32_t ballot) { return __popc(ballot); }

/// Lanes of the ballot before this one: this lane's place among them.
__device__ inline int lanes_before(uint32_t ballot) { return __popc(ballot & ((1u << lane_index()) - 1)); }

/// The lowest lane of a ballot that is not empty.
__device__ inline int first_lane(uint32_t ballot) { return __ffs(int(ballot)) - 1; }

}  // namespace eva::cuda::device
