#pragma once
// How the tiles of the score matrix are distributed over blocks.

#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda {

/// The tiles of one block: row tiles × column tiles.
struct score_area {
  int first_row_tile, end_row_tile;
  int first_column_tile, end_column_tile;
};

/// A step of a block's main loop: the tile, and the slice of BLOCK_K columns of the features.
struct score_step {
  int row_tile, column_tile, k_step;

  __device__ void advance(const score_area& area, int k_steps) {
    if (++k_step < k_steps) return;
    k_step = 0;
    if (++column_tile < area.end_column_tile) return;
    column_tile = area.first_column_tile;
    ++row_tile;
  }
};

/// `row_tiles` row tiles from first_row_tile on × `column_tiles` column tiles, divided into row_parts ×
/// column_parts areas, one per block.
struct score_grid {
  int first_row_tile, row_tiles, column_tiles;
  int row_parts, column_parts;

  /// At most `blocks` areas: the division with the smallest largest area and, of those, with the fewest
  /// parts.
  static score_grid of(int first_row_tile, int row_tiles, int column_tiles, int blocks) {
    score_grid best{first_row_tile, row_tiles, column_tiles, 1, 1};
    const auto ceil_div = [](int count, int parts) { return (count + parts - 1) / parts; };
    int64_t least = INT64_MAX;
    for (int row_parts = 1; row_parts <= blocks && row_parts <= row_tiles; ++row_parts) {
      const int column_parts = blocks / row_parts < column_tiles ? blocks / row_parts : column_tiles;
      const int64_t largest = int64_t(ceil_div(row_tiles, row_parts)) * ceil_div(column_tiles, column_parts);
      const bool has_fewer_parts = row_parts + column_parts < best.row_parts + best.column_parts;
      if (largest > least || (largest == least && !has_fewer_parts)) continue;
      least = largest;
      best.row_parts = row_parts;
      best.column_parts = column_parts;
    }
    return best;
  }

  int blocks() const { return row_tiles > 0 && column_tiles > 0 ? row_parts * column_parts : 0; }

  __device__ int row_part() const { return device::block_index() / column_parts; }
  __device__ int column_part() const { return device::block_index() % column_parts; }
  __device__ score_area area() const {
    return {first_row_tile + part_begin(row_tiles, row_part(), row_parts),
            first_row_tile + part_begin(row_tiles, row_part() + 1, row_parts),
            part_begin(column_tiles, column_part(), column_parts),
            part_begin(column_tiles, column_part() + 1, column_parts)};
  }

 private:
  static __device__ int part_begin(int count, int part, int parts) {
    return int(int64_t(count) * part / parts);
  }
};

}  // namespace eva::cuda
