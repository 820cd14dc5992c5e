#pragma once
// Tiles of image textᵀ on the tensor core, in nearly single precision: each f32 is the sum of two bf16, and
// of the four products of two such sums the one of both small halves is below f32's own rounding.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/context.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/tile.cuh"

namespace eva::cuda {

/// Columns that a step of a product takes.
inline constexpr int score_depth = 32;

/// Rows of unit length as two bf16 matrices [batch, stride], zero behind their columns.
struct split_rows {
  const device::bf16* high;
  const device::bf16* low;
  int64_t batch, stride;
};

/// Both sides of the loss. *inexact is 0 where every value is a bf16, and the low halves are then not read.
struct split_sides {
  split_rows image, text;
  const int* inexact;

  static int64_t stride_of(int64_t embedding) {
    return std::max<int64_t>(1, (embedding + score_depth - 1) / score_depth) * score_depth;
  }
  static int64_t bytes(int64_t batch, int64_t embedding) {
    return 256 + 4 * batch * stride_of(embedding) * int64_t(sizeof(device::bf16));
  }
};

/// Splits image and text [batch, embedding] into `memory`, which has split_sides::bytes.
split_sides split(const float* image, const float* text, int64_t batch, int64_t embedding, std::byte* memory,
                  const context& c);

// A part of split rows in shared memory: Rows × score_depth, high and low.
template <int Rows> struct split_tile {
  static constexpr int bytes = 2 * tile<score_depth>::bytes(Rows);

  tile<score_depth> high, low;

  static __device__ split_tile at(int byte_offset) {
    return {tile<score_depth>::at(byte_offset), tile<score_depth>::at(byte_offset + bytes / 2)};
  }

  /// Starts the copies of rows from first_row and columns from first_column on; outside is zero.
  __device__ void fetch(const split_rows& from, int64_t first_row, int64_t first_column, bool inexact) const {
    constexpr int chunks = score_depth / 8;
    for (int i = device::thread_index(); i < Rows * chunks; i += device::block_threads()) {
      const int row = i / chunks, chunk = i % chunks;
      const int64_t column = first_column + 8 * chunk;
      const bool inside = first_row + row < from.batch && column < from.stride;
      const int64_t source = inside ? (first_row + row) * from.stride + column : 0;
      device::copy_async_16(high.data, high.element(row, chunk), from.high + source, inside);
      if (inexact) device::copy_async_16(low.data, low.element(row, chunk), from.low + source, inside);
    }
  }
};

/// A block's product of Rows rows of one side and Columns of the other: a warp has a part of 16 RowTiles ×
/// 8 ColumnTiles, RowWarps of them above one another.
template <int RowTiles, int ColumnTiles, int RowWarps, int ColumnWarps> struct score_block {
  static constexpr int rows = 16 * RowTiles * RowWarps, columns = 8 * ColumnTiles * ColumnWarps;
  static constexpr int warps = RowWarps * ColumnWarps, threads = warps * device::warp_lanes;
  static constexpr int stage_bytes = split_tile<rows>::bytes + split_tile<columns>::bytes;

  using sums = float[RowTiles][ColumnTiles][4];

  static __device__ int first_row() { return device::warp_index() % RowWarps * 16 * RowTiles; }
  static __device__ int first_column() { return device::warp_index() / RowWarps * 8 * ColumnTiles; }

  /// Where a lane's element of its warp's part lies in the block's.
  static __device__ int row_of(int row_tile, int element) {
    return first_row() + 16 * row_tile + device::lane_index() / 4 + element / 2 * 8;
  }
  static __device__ int column_of(int column_tile, int element) {
    return first_column() + 8 * column_tile + device::lane_index() % 4 * 2 + element % 2;
  }

  static __device__ void fetch(int stage_offset, const split_rows& mine, int64_t first_mine,
                               const split_rows& other, int64_t first_other, int64_t column, bool inexact) {
    split_tile<rows>::at(stage_offset).fetch(mine, first_mine, column, inexact);
    split_tile<columns>::at(stage_offset + split_tile<rows>::bytes)
        .fetch(other, first_other, column, inexact);
  }

  /// Adds the products of one step's columns.
  static __device__ void multiply(int stage_offset, sums& c, bool inexact) {
    const auto mine = split_tile<rows>::at(stage_offset);
    const auto other = split_tile<columns>::at(stage_offset + split_tile<rows>::bytes);
#pragma unroll
    for (int k = 0; k < score_depth; k += 16) {
      device::matrices high[RowTiles], low[RowTiles];
#pragma unroll
      for (int m = 0; m < RowTiles; ++m) {
        high[m] = mine.high.load_a(first_row() + 16 * m, k);
        if (inexact) low[m] = mine.low.load_a(first_row() + 16 * m, k);
      }
#pragma unroll
      for (int n = 0; n < ColumnTiles; n += 2) {
        const device::matrices b = other.high.load_b(first_column() + 8 * n, k);
#pragma unroll
        for (int m = 0; m < RowTiles; ++m) multiply_pair(c[m][n], c[m][n + 1], high[m], b);
        if (!inexact) continue;
        const device::matrices b_low = other.low.load_b(first_column() + 8 * n, k);
#pragma unroll
        for (int m = 0; m < RowTiles; ++m) {
          multiply_pair(c[m][n], c[m][n + 1], high[m], b_low);
          multiply_pair(c[m][n], c[m][n + 1], low[m], b);
        }
      }
    }
  }

  static __device__ void multiply_pair(float (&left)[4], float (&right)[4], const device::matrices& a,
                                       const device::matrices& b) {
    device::multiply_add(left, a, b.words[0], b.words[1]);
    device::multiply_add(right, a, b.words[2], b.words[3]);
  }
};

}  // namespace eva::cuda
