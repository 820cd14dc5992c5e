#pragma once
// Ballots of a warp, and their bit counts.

#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

__device__ inline int count_lanes(uint32_t ballot) { return __popc(ballot); }

/// The number of lanes of the ballot before this one: this lane's rank among them.
__device__ inline int lanes_before(uint32_t ballot) { return __popc(ballot & ((1u << lane_index()) - 1)); }

/// The lowest lane of a non-empty ballot.
__device__ inline int first_lane(uint32_t ballot) { return __ffs(int(ballot)) - 1; }

/// The lanes that have this lane's value.
__device__ inline uint32_t warp_match(int value) { return __match_any_sync(0xffffffffu, value); }

}  // namespace eva::cuda::device
