#pragma once
// Tiles of the score matrix image textᵀ on tensor cores, accumulated in f32: one GEMM for bf16 features. f32
// features are split into three bf16 parts each; of the nine GEMMs of two parts, it computes the six whose
// results are not below the rounding error of f32. Tensor cores truncate their f32 sums instead of rounding
// them: an estimated relative error of 1e-6 to 5e-6 for E = 512, which an emulation does not show.

#include <algorithm>
#include <cstdint>

#include "cuda/clip_loss/feature_rows.h"
#include "cuda/clip_loss/score_grid.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/tile.cuh"

namespace eva::cuda {

/// The tile of a warp is 16 m_tiles × 8 n_tiles; a block has warps_m × warps_n of them and `stages` pipeline
/// stages. Both shapes use eight warps and 96 KiB of shared memory, which every supported device has.
template <int Parts> struct score_shape;
template <> struct score_shape<1> {
  static constexpr int m_tiles = 4, n_tiles = 8, warps_m = 2, warps_n = 4, stages = 4;
};
template <> struct score_shape<3> {
  static constexpr int m_tiles = 2, n_tiles = 8, warps_m = 4, warps_n = 2, stages = 2;
};

/// The parts of a tile of features in shared memory: Rows × BLOCK_K each.
template <int Rows, int Parts> struct feature_tile {
  static constexpr int part_bytes = tile<score_block_k>::bytes(Rows), bytes = Parts * part_bytes;

  int byte_offset;

  __device__ tile<score_block_k> part(int i) const {
    return tile<score_block_k>::at(byte_offset + i * part_bytes);
  }

  /// Starts the copies of the tile at (first_row, first_column), with zeros outside the features.
  __device__ void fetch(const feature_rows& from, int64_t first_row, int first_column) const {
    constexpr int chunks = score_block_k / 8;
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

/// A block's tile of unscaled scores: BLOCK_M images × BLOCK_N texts.
template <int Parts> struct score_block {
  using shape = score_shape<Parts>;
  static constexpr int m_tiles = shape::m_tiles, n_tiles = shape::n_tiles;
  static constexpr int warps_m = shape::warps_m, warps_n = shape::warps_n;
  static constexpr int block_m = 16 * m_tiles * warps_m, block_n = 8 * n_tiles * warps_n;
  static constexpr int threads = warps_m * warps_n * device::warp_size;
  using image_tile = feature_tile<block_m, Parts>;
  using text_tile = feature_tile<block_n, Parts>;
  static constexpr int stages = shape::stages, stage_bytes = image_tile::bytes + text_tile::bytes;
  static constexpr int shared_bytes = stages * stage_bytes;

  using accumulators = float[m_tiles][n_tiles][4];

  static __device__ int warp_m() { return device::warp_index() % warps_m; }
  static __device__ int warp_n() { return device::warp_index() / warps_m; }
  static __device__ int first_row() { return warp_m() * 16 * m_tiles; }
  static __device__ int first_column() { return warp_n() * 8 * n_tiles; }

  /// The row and column, within the block's tile, of an element of the lane's accumulators.
  static __device__ int row_of(int m_tile, int element) {
    return first_row() + 16 * m_tile + device::lane_index() / 4 + element / 2 * 8;
  }
  static __device__ int column_of(int n_tile, int element) {
    return first_column() + 8 * n_tile + device::lane_index() % 4 * 2 + element % 2;
  }

  static __device__ void fetch(int stage, const score_sides& sides, const score_step& at) {
    const int column = at.k_step * score_block_k;
    image_tile{stage * stage_bytes}.fetch(sides.image, int64_t(at.row_tile) * block_m, column);
    text_tile{stage * stage_bytes + image_tile::bytes}.fetch(sides.text, int64_t(at.column_tile) * block_n,
                                                             column);
  }

  /// c += image textᵀ over the BLOCK_K columns of one stage.
  static __device__ void multiply(int stage, accumulators& c) {
    const image_tile image{stage * stage_bytes};
    const text_tile text{stage * stage_bytes + image_tile::bytes};
#pragma unroll
    for (int k = 0; k < score_block_k; k += 16) {
      device::fragment a[Parts][m_tiles];
#pragma unroll
      for (int p = 0; p < Parts; ++p)
#pragma unroll
        for (int m = 0; m < m_tiles; ++m) a[p][m] = image.part(p).load_a(first_row() + 16 * m, k);
#pragma unroll
      for (int n = 0; n < n_tiles; n += 2)
#pragma unroll
        for (int q = 0; q < Parts; ++q) {
          const device::fragment b = text.part(q).load_b(first_column() + 8 * n, k);
#pragma unroll
          for (int p = 0; p < Parts - q; ++p)
#pragma unroll
            for (int m = 0; m < m_tiles; ++m) {
              device::mma_m16n8k16(c[m][n], a[p][m], b.words[0], b.words[1]);
              device::mma_m16n8k16(c[m][n + 1], a[p][m], b.words[2], b.words[3]);
            }
        }
    }
  }

  /// Calls change(score, row, column) for the lane's elements if the tile crosses the diagonal or the end of
  /// the batch; other tiles need no masking.
  template <class Change>
  static __device__ void for_masked_tile(accumulators& c, int row_tile, int column_tile, int64_t batch,
                                         const Change& change) {
    const int64_t top = int64_t(row_tile) * block_m, left = int64_t(column_tile) * block_n;
    const bool has_diagonal = top < left + block_n && left < top + block_m;
    if (!has_diagonal && top + block_m <= batch && left + block_n <= batch) return;
#pragma unroll
    for (int m = 0; m < m_tiles; ++m)
#pragma unroll
      for (int n = 0; n < n_tiles; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) change(c[m][n][e], top + row_of(m, e), left + column_of(n, e));
  }
};

/// Calls body(accumulators, row_tile, column_tile, free) for each tile of the area in row-major order.
/// `free`: byte offset of one pipeline stage (stage_bytes) that the body may use as scratch after a barrier.
/// Later stages are fetched while earlier ones are computed.
template <class Block, class Body>
__device__ void for_each_score_tile(const score_sides& sides, const score_area& area, const Body& body) {
  const int k_steps = int((sides.image.stride + score_block_k - 1) / score_block_k);
  score_step next{area.first_row_tile, area.first_column_tile, 0};
  const auto fetch = [&](int stage) {
    if (next.row_tile < area.end_row_tile) Block::fetch(stage, sides, next);
    device::copy_commit();
    next.advance(area, k_steps);
  };
  for (int stage = 0; stage < Block::stages - 1; ++stage) fetch(stage);
  int stage = 0, previous = Block::stages - 1;
  for (int row_tile = area.first_row_tile; row_tile < area.end_row_tile; ++row_tile)
    for (int column_tile = area.first_column_tile; column_tile < area.end_column_tile; ++column_tile) {
      typename Block::accumulators scores = {};
      for (int k_step = 0; k_step < k_steps; ++k_step) {
        device::copy_wait<Block::stages - 2>();
        device::block_barrier();
        fetch(previous);
        Block::multiply(stage, scores);
        previous = stage;
        stage = stage + 1 == Block::stages ? 0 : stage + 1;
      }
      body(scores, row_tile, column_tile, previous * Block::stage_bytes);
    }
}

}  // namespace eva::cuda
