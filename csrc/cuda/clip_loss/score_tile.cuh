#pragma once
// Tiles of image textᵀ on the tensor core, added in f32: one product of bf16 features. An f32 is the sum of
// three bf16, and of the nine products of two such sums those six count that are not below f32's own
// rounding.

#include <algorithm>
#include <cstdint>

#include "cuda/clip_loss/feature_rows.h"
#include "cuda/clip_loss/score_grid.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/tile.cuh"

namespace eva::cuda {

/// How a block's product is shared out: a warp has 16 row_tiles × 8 column_tiles of it, row_warps of them
/// above one another. Both forms have eight warps and 96 KiB of shared memory, which every device has.
template <int Parts> struct score_shape;
template <> struct score_shape<1> {
  static constexpr int row_tiles = 4, column_tiles = 8, row_warps = 2, column_warps = 4, stages = 4;
};
template <> struct score_shape<3> {
  static constexpr int row_tiles = 2, column_tiles = 8, row_warps = 4, column_warps = 2, stages = 2;
};

// The parts of rows of features in shared memory: Rows × score_depth each.
template <int Rows, int Parts> struct feature_tile {
  static constexpr int part_bytes = tile<score_depth>::bytes(Rows), bytes = Parts * part_bytes;

  int byte_offset;

  __device__ tile<score_depth> part(int i) const {
    return tile<score_depth>::at(byte_offset + i * part_bytes);
  }

  /// Starts the copies of rows from first_row and columns from first_column on; outside is zero.
  __device__ void fetch(const feature_rows& from, int64_t first_row, int first_column) const {
    constexpr int chunks = score_depth / 8;
    for (int i = device::thread_index(); i < Rows * chunks; i += device::block_threads()) {
      const int row = i / chunks, chunk = i % chunks;
      const int64_t column = first_column + 8 * chunk;
      const bool inside = first_row + row < from.batch && column < from.stride;
      const device::bf16* source = from.parts + (inside ? (first_row + row) * from.stride + column : 0);
      for (int p = 0; p < Parts; ++p, source += from.part_stride)
        device::copy_async_16(part(p).data, part(p).element(row, chunk), source, inside);
    }
  }
};

/// A block's scores, before they are scaled: `rows` images by `columns` texts.
template <int Parts> struct score_block {
  using shape = score_shape<Parts>;
  static constexpr int row_tiles = shape::row_tiles, column_tiles = shape::column_tiles;
  static constexpr int row_warps = shape::row_warps, column_warps = shape::column_warps;
  static constexpr int rows = 16 * row_tiles * row_warps, columns = 8 * column_tiles * column_warps;
  static constexpr int threads = row_warps * column_warps * device::warp_lanes;
  using image_tile = feature_tile<rows, Parts>;
  using text_tile = feature_tile<columns, Parts>;
  static constexpr int stages = shape::stages, stage_bytes = image_tile::bytes + text_tile::bytes;
  static constexpr int shared_bytes = stages * stage_bytes;

  using sums = float[row_tiles][column_tiles][4];

  static __device__ int row_warp() { return device::warp_index() % row_warps; }
  static __device__ int column_warp() { return device::warp_index() / row_warps; }
  static __device__ int first_row() { return row_warp() * 16 * row_tiles; }
  static __device__ int first_column() { return column_warp() * 8 * column_tiles; }

  /// Where a lane's element of its warp's part lies in the block's.
  static __device__ int row_of(int row_tile, int element) {
    return first_row() + 16 * row_tile + device::lane_index() / 4 + element / 2 * 8;
  }
  static __device__ int column_of(int column_tile, int element) {
    return first_column() + 8 * column_tile + device::lane_index() % 4 * 2 + element % 2;
  }

  static __device__ void fetch(int stage, const score_sides& sides, const score_step& at) {
    const int column = at.depth * score_depth;
    image_tile{stage * stage_bytes}.fetch(sides.image, int64_t(at.strip) * rows, column);
    text_tile{stage * stage_bytes + image_tile::bytes}.fetch(sides.text, int64_t(at.tile) * columns, column);
  }

  /// Adds the products of one step's columns.
  static __device__ void multiply(int stage, sums& c) {
    const image_tile image{stage * stage_bytes};
    const text_tile text{stage * stage_bytes + image_tile::bytes};
#pragma unroll
    for (int k = 0; k < score_depth; k += 16) {
      device::matrices a[Parts][row_tiles];
#pragma unroll
      for (int p = 0; p < Parts; ++p)
#pragma unroll
        for (int m = 0; m < row_tiles; ++m) a[p][m] = image.part(p).load_a(first_row() + 16 * m, k);
#pragma unroll
      for (int n = 0; n < column_tiles; n += 2)
#pragma unroll
        for (int q = 0; q < Parts; ++q) {
          const device::matrices b = text.part(q).load_b(first_column() + 8 * n, k);
#pragma unroll
          for (int p = 0; p < Parts - q; ++p)
#pragma unroll
            for (int m = 0; m < row_tiles; ++m) {
              device::multiply_add(c[m][n], a[p][m], b.words[0], b.words[1]);
              device::multiply_add(c[m][n + 1], a[p][m], b.words[2], b.words[3]);
            }
        }
    }
  }

  /// Calls change(score, row, column) for the lane's elements of a tile that the batch's end or its diagonal
  /// crosses, and for no others.
  template <class Change>
  static __device__ void for_odd_tile(sums& c, int strip, int tile_index, int64_t batch,
                                      const Change& change) {
    const int64_t top = int64_t(strip) * rows, left = int64_t(tile_index) * columns;
    const bool is_crossed = top < left + columns && left < top + rows;
    if (!is_crossed && top + rows <= batch && left + columns <= batch) return;
#pragma unroll
    for (int m = 0; m < row_tiles; ++m)
#pragma unroll
      for (int n = 0; n < column_tiles; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) change(c[m][n][e], top + row_of(m, e), left + column_of(n, e));
  }
};

/// Calls body(sums, strip, tile, free) for each tile of the area, strip by strip, `free` being the place of
/// stage_bytes of shared memory that are the body's behind a barrier. What a step needs is fetched while
/// those before are computed.
template <class Block, class Body>
__device__ void for_each_score_tile(const score_sides& sides, const score_area& area, const Body& body) {
  const int depths = int((sides.image.stride + score_depth - 1) / score_depth);
  score_step next{area.first_strip, area.first_tile, 0};
  const auto fetch = [&](int stage) {
    if (next.strip < area.last_strip) Block::fetch(stage, sides, next);
    device::copy_commit();
    next.advance(area, depths);
  };
  for (int stage = 0; stage < Block::stages - 1; ++stage) fetch(stage);
  int stage = 0, before = Block::stages - 1;
  for (int strip = area.first_strip; strip < area.last_strip; ++strip)
    for (int tile_index = area.first_tile; tile_index < area.last_tile; ++tile_index) {
      typename Block::sums scores = {};
      for (int depth = 0; depth < depths; ++depth) {
        device::copy_wait<Block::stages - 2>();
        device::block_barrier();
        fetch(before);
        Block::multiply(stage, scores);
        before = stage;
        stage = stage + 1 == Block::stages ? 0 : stage + 1;
      }
      body(scores, strip, tile_index, before * Block::stage_bytes);
    }
}

}  // namespace eva::cuda
