#pragma once
// Tiles of image textᵀ on the tensor core in single precision: an f32 is the sum of three bf16, and of the
// nine products of two such sums those six count that are not below f32's own rounding.

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

/// The bf16 that an f32 is the sum of, from the largest on.
inline constexpr int split_parts = 3;

/// Rows of unit length as bf16 [split_parts, batch, stride], zero behind their columns.
struct split_rows {
  const device::bf16* parts;
  int64_t batch, stride;
};

/// Both sides of the loss. *inexact is 0 where every value is a bf16: the parts behind the first are then not
/// read.
struct split_sides {
  split_rows image, text;
  const int* inexact;

  static int64_t stride_of(int64_t embedding) {
    return std::max<int64_t>(1, (embedding + score_depth - 1) / score_depth) * score_depth;
  }
  static int64_t bytes(int64_t batch, int64_t embedding) {
    return 256 + 2 * split_parts * batch * stride_of(embedding) * int64_t(sizeof(device::bf16));
  }
};

/// Splits image and text [batch, embedding] into `memory`, which has split_sides::bytes.
split_sides split(const float* image, const float* text, int64_t batch, int64_t embedding, std::byte* memory,
                  const context& c);

// The first Parts of split rows in shared memory: Rows × score_depth each.
template <int Rows, int Parts> struct split_tile {
  static constexpr int part_bytes = tile<score_depth>::bytes(Rows), bytes = Parts * part_bytes;

  int byte_offset;

  __device__ tile<score_depth> part(int i) const {
    return tile<score_depth>::at(byte_offset + i * part_bytes);
  }

  /// Starts the copies of rows from first_row and columns from first_column on; outside is zero.
  __device__ void fetch(const split_rows& from, int64_t first_row, int64_t first_column, bool inexact) const {
    constexpr int chunks = score_depth / 8;
    for (int i = device::thread_index(); i < Rows * chunks; i += device::block_threads()) {
      const int row = i / chunks, chunk = i % chunks;
      const int64_t column = first_column + 8 * chunk;
      const bool inside = first_row + row < from.batch && column < from.stride;
      const device::bf16* source = from.parts + (inside ? (first_row + row) * from.stride + column : 0);
      for (int p = 0; p < (inexact ? Parts : 1); ++p, source += from.batch * from.stride)
        device::copy_async_16(part(p).data, part(p).element(row, chunk), source, inside);
    }
  }
};

/// A block's product of Rows rows of one side and Columns of the other: a warp has a part of 16 RowTiles ×
/// 8 ColumnTiles, RowWarps of them above one another.
template <int RowTiles, int ColumnTiles, int RowWarps, int ColumnWarps> struct score_block {
  static constexpr int rows = 16 * RowTiles * RowWarps, columns = 8 * ColumnTiles * ColumnWarps;
  static constexpr int warps = RowWarps * ColumnWarps, threads = warps * device::warp_lanes;
  using my_tile = split_tile<rows, split_parts>;
  using other_tile = split_tile<columns, split_parts>;
  static constexpr int stage_bytes = my_tile::bytes + other_tile::bytes;

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
    my_tile{stage_offset}.fetch(mine, first_mine, column, inexact);
    other_tile{stage_offset + my_tile::bytes}.fetch(other, first_other, column, inexact);
  }

  /// Adds the products of one step's columns.
  static __device__ void multiply(int stage_offset, sums& c, bool inexact) {
    inexact ? multiply_parts<split_parts>(stage_offset, c) : multiply_parts<1>(stage_offset, c);
  }

  template <int Parts> static __device__ void multiply_parts(int stage_offset, sums& c) {
    const my_tile mine{stage_offset};
    const other_tile other{stage_offset + my_tile::bytes};
#pragma unroll
    for (int k = 0; k < score_depth; k += 16) {
      device::matrices a[Parts][RowTiles];
#pragma unroll
      for (int p = 0; p < Parts; ++p)
#pragma unroll
        for (int m = 0; m < RowTiles; ++m) a[p][m] = mine.part(p).load_a(first_row() + 16 * m, k);
#pragma unroll
      for (int n = 0; n < ColumnTiles; n += 2)
#pragma unroll
        for (int q = 0; q < Parts; ++q) {
          const device::matrices b = other.part(q).load_b(first_column() + 8 * n, k);
#pragma unroll
          for (int p = 0; p < Parts - q; ++p)
#pragma unroll
            for (int m = 0; m < RowTiles; ++m) multiply_pair(c[m][n], c[m][n + 1], a[p][m], b);
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
