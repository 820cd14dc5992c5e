#pragma once
// Attention without tensor cores, for f32 and for head dimensions that are not a multiple of 8. A block owns
// a tile of BLOCK_M = 16 rows of a head, four per warp, and loops over tiles of BLOCK_N = 32 rows of the
// other operand, one per lane. All arithmetic is f32.

#include "core/error.h"
#include "cuda/attention/rope.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda::plain {

inline constexpr int warps = 4, warp_rows = 4, block_m = warps * warp_rows, block_n = device::warp_size;
inline constexpr int max_head_dim = 256;

/// Rows of a head in shared memory. The odd pitch puts the elements of a column in different banks.
struct matrix {
  device::shared_array<float> data;
  int pitch;

  __device__ float load(int row, int column) const { return data.load(row * pitch + column); }
  __device__ void store(int row, int column, float value) const { data.store(row * pitch + column, value); }
};

__host__ __device__ constexpr int pitch_of(int head_dim) { return head_dim | 1; }
__host__ __device__ constexpr int bytes_of(int rows, int head_dim) { return rows * pitch_of(head_dim) * 4; }

/// Loads tokens begin … begin + count - 1 into shared memory, with RoPE if `with_rope`; zeros after the last
/// token.
template <class T>
__device__ void load_rows(const head& h, matrix to, int begin, int count, head_rows<T> from, bool with_rope) {
  const int head_dim = h.batch.head_dim;
  for (int i = device::thread_index(); i < count * head_dim; i += device::block_threads()) {
    const int row = i / head_dim, column = i % head_dim, token = begin + row;
    float x = 0;
    if (token < h.tokens) {
      const T* line = from.row(token);
      x = device::to_float(line[column]);
      if (with_rope && has_rope(h, token)) {
        const float* angle = token_angles(h, grid_position(h, token)).at(column & ~1);
        const float partner = device::to_float(line[column ^ 1]);
        x = x * angle[0] + (column % 2 ? partner : -partner) * angle[1];
      }
    }
    to.store(row, column, x);
  }
}

/// dot[r] = row `first + r` of m · the lane's row of n
__device__ inline void multiply(float (&dot)[warp_rows], matrix m, int first, matrix n, int head_dim) {
  for (int d = 0; d < head_dim; ++d) {
    const float x = n.load(device::lane_index(), d);
#pragma unroll
    for (int r = 0; r < warp_rows; ++r) dot[r] += m.load(first + r, d) * x;
  }
}

/// sum[r][s], column lane + 32 s of row r, += Σ over the rows of n (one per lane) of weight[r] · n
template <int LaneColumns>
__device__ void accumulate(float (&sum)[warp_rows][LaneColumns], const float (&weight)[warp_rows], matrix n,
                           int head_dim) {
  for (int row = 0; row < block_n; ++row) {
    float w[warp_rows];
#pragma unroll
    for (int r = 0; r < warp_rows; ++r) w[r] = device::shuffle(weight[r], row);
#pragma unroll
    for (int s = 0; s < LaneColumns; ++s) {
      const int column = device::lane_index() + device::warp_size * s;
      if (column >= head_dim) continue;
      const float x = n.load(row, column);
#pragma unroll
      for (int r = 0; r < warp_rows; ++r) sum[r][s] += w[r] * x;
    }
  }
}

/// Calls start with the number of a head's columns per lane, as a compile-time constant.
template <class Start> void for_lane_columns(int head_dim, const Start& start) {
  if (head_dim > max_head_dim)
    throw argument_error("attention: head dimension " + std::to_string(head_dim) +
                         " exceeds the limit of the CUDA kernels, " + std::to_string(max_head_dim));
  if (head_dim <= 128)
    start(std::integral_constant<int, 4>{});
  else
    start(std::integral_constant<int, 8>{});
}

/// Blocks per head: one per tile of rows, or 1 for a packed batch, whose lengths only the device knows.
inline int splits_of(const attention_batch& b) {
  return b.starts ? 1 : std::max(1, (b.tokens + block_m - 1) / block_m);
}

}  // namespace eva::cuda::plain
