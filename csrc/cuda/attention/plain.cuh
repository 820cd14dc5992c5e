#pragma once
// Attention without tensor cores, for f32 and for head dimensions that are no multiple of 8: a block owns 16
// rows of a head, four a warp, and the others pass by 32 at a time, one a lane. Everything is f32.

#include "core/error.h"
#include "cuda/attention/head.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda::plain {

inline constexpr int warps = 4, warp_rows = 4, own_rows = warps * warp_rows, other_rows = device::warp_lanes;
inline constexpr int largest_head_dim = 256;

/// Rows of a head in shared memory; their odd pitch puts a column's elements into different banks.
struct matrix {
  device::shared_array<float> data;
  int pitch;

  __device__ float load(int row, int column) const { return data.load(row * pitch + column); }
  __device__ void store(int row, int column, float value) const { data.store(row * pitch + column, value); }
};

__host__ __device__ constexpr int pitch_of(int head_dim) { return head_dim | 1; }
__host__ __device__ constexpr int bytes_of(int rows, int head_dim) { return rows * pitch_of(head_dim) * 4; }

/// Brings the rows of tokens from `begin` on to shared memory, turned where `turns`; zeros behind the last.
template <class T, class RowOf>
__device__ void load_rows(const head& h, matrix to, int begin, int count, const T* source, RowOf row_of,
                          bool turns) {
  const int head_dim = h.batch.head_dim;
  for (int i = device::thread_index(); i < count * head_dim; i += device::block_threads()) {
    const int row = i / head_dim, column = i % head_dim, token = begin + row;
    float x = 0;
    if (token < h.tokens) {
      const T* line = source + row_of(token);
      x = device::to_float(line[column]);
      if (turns && h.rotates(token)) {
        const float* angle = h.angles(token, column & ~1);
        const float partner = device::to_float(line[column ^ 1]);
        x = x * angle[0] + (column % 2 ? partner : -partner) * angle[1];
      }
    }
    to.store(row, column, x);
  }
}

/// dot[r] = row `first + r` of own · the lane's row of others
__device__ inline void multiply(float (&dot)[warp_rows], matrix own, int first, matrix others, int head_dim) {
  for (int d = 0; d < head_dim; ++d) {
    const float x = others.load(device::lane_index(), d);
#pragma unroll
    for (int r = 0; r < warp_rows; ++r) dot[r] += own.load(first + r, d) * x;
  }
}

/// sum[r][s], column lane + 32 s of own row r, += Σ over lanes of weight[r] · their rows of others
template <int Strips>
__device__ void accumulate(float (&sum)[warp_rows][Strips], const float (&weight)[warp_rows], matrix others,
                           int head_dim) {
  for (int other = 0; other < other_rows; ++other) {
    float w[warp_rows];
#pragma unroll
    for (int r = 0; r < warp_rows; ++r) w[r] = device::shuffle(weight[r], other);
#pragma unroll
    for (int s = 0; s < Strips; ++s) {
      const int column = device::lane_index() + device::warp_lanes * s;
      if (column >= head_dim) continue;
      const float x = others.load(other, column);
#pragma unroll
      for (int r = 0; r < warp_rows; ++r) sum[r][s] += w[r] * x;
    }
  }
}

/// Calls start with the number of 32-column strips that hold a head, as a constant.
template <class Start> void for_strips(int head_dim, const Start& start) {
  if (head_dim > largest_head_dim)
    throw argument_error("attention: a head dimension of " + std::to_string(head_dim) + " is more than the " +
                         std::to_string(largest_head_dim) + " that CUDA kernels take");
  if (head_dim <= 128)
    start(std::integral_constant<int, 4>{});
  else
    start(std::integral_constant<int, 8>{});
}

/// Blocks that share a head: as many as it has tiles of rows, or one where only the device knows.
inline int splits_of(const attention_batch& b) {
  return b.starts ? 1 : std::max(1, (b.tokens + own_rows - 1) / own_rows);
}

}  // namespace eva::cuda::plain
