#pragma once
// Host implementation of csrc/cuda/device/scan.cuh.

#include <bit>
#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

inline int count_lanes(uint32_t ballot) { return std::popcount(ballot); }
inline int lanes_before(uint32_t ballot) { return std::popcount(ballot & ((1u << lane_index()) - 1)); }
inline int first_lane(uint32_t ballot) { return std::countr_zero(ballot); }

}  // namespace eva::cuda::device
