#pragma once
// Host implementation of csrc/cuda/device/thread.cuh.

#include <algorithm>
#include <chrono>
#include <cmath>

#include "block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
// Leaves a byte for each warp before the kernel, which emulator::max_threads_of counts.
#define __launch_bounds__(threads, ...) \
  __attribute__((patchable_function_entry((threads) / 32, (threads) / 32)))

using std::max, std::min;  // built into nvcc

namespace eva::cuda::device {

using emulator::location;
using emulator::warp_size;

inline int thread_index() { return emulator::current().thread_index(); }
inline int block_index() { return emulator::current().block_index(); }
inline int block_threads() { return emulator::current().block_threads(); }
inline int grid_blocks() { return emulator::current().grid_blocks(); }
inline int lane_index() { return thread_index() % warp_size; }
inline int warp_index() { return thread_index() / warp_size; }

inline void block_barrier(location where = location::current()) { emulator::current().block_barrier(where); }
inline void warp_barrier(location where = location::current()) { emulator::current().warp_barrier(where); }

namespace emulated {

template <class T> struct exchange {
  T value;
  int from;  // the lane to read
  T result;
};

template <class T> T exchange_values(const char* name, T value, int from, location where) {
  exchange<T> mine{value, from, {}};
  emulator::current().warp_collective(
      name, &mine,
      [](void* const lanes[]) {
        for (int lane = 0; lane < warp_size; ++lane) {
          auto& me = *static_cast<exchange<T>*>(lanes[lane]);
          me.result = static_cast<exchange<T>*>(lanes[me.from])->value;
        }
      },
      where);
  return mine.result;
}

}  // namespace emulated

template <class T> T shuffle_xor(T value, int lane_mask, location where = location::current()) {
  return emulated::exchange_values("shuffle_xor", value, (lane_index() ^ lane_mask) % warp_size, where);
}

template <class T> T shuffle(T value, int lane, location where = location::current()) {
  return emulated::exchange_values("shuffle", value, lane % warp_size, where);
}

inline uint32_t warp_ballot(bool predicate, location where = location::current()) {
  uint32_t mine = predicate;
  emulator::current().warp_collective(
      "warp_ballot", &mine,
      [](void* const lanes[]) {
        uint32_t bits = 0;
        for (int lane = 0; lane < warp_size; ++lane) bits |= *static_cast<uint32_t*>(lanes[lane]) << lane;
        for (int lane = 0; lane < warp_size; ++lane) *static_cast<uint32_t*>(lanes[lane]) = bits;
      },
      where);
  return mine;
}

inline int64_t clock_nanoseconds() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace eva::cuda::device
