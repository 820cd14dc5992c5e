#pragma once
// Host implementation of csrc/cuda/device/scan.cuh.

#include <bit>
#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

inline int count_lanes(uint32_t ballot) { return std::popcount(ballot); }
inline int lanes_before(uint32_t ballot) { return std::popcount(ballot & ((1u << lane_index()) - 1)); }
inline int first_lane(uint32_t ballot) { return std::countr_zero(ballot); }

inline uint32_t warp_match(int value, location where = location::current()) {
  struct query {
    int value;
    uint32_t equal;
  } mine{value, 0};
  emulator::current().warp_collective(
      "warp_match", &mine,
      [](void* const lanes[]) {
        for (int lane = 0; lane < warp_size; ++lane)
          for (int other = 0; other < warp_size; ++other) {
            auto& me = *static_cast<query*>(lanes[lane]);
            me.equal |= uint32_t(static_cast<query*>(lanes[other])->value == me.value) << other;
          }
      },
      where);
  return mine.equal;
}

}  // namespace eva::cuda::device
