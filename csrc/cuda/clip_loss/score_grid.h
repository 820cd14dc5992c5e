#pragma once
// How the tiles of scores are shared out among blocks.

#include <cstdint>

#include "cuda/device/thread.cuh"

namespace eva::cuda {

/// The tiles of one block: strips of rows by tiles of columns.
struct score_area {
  int first_strip, last_strip;
  int first_tile, last_tile;
};

/// A step of a product: the tile it belongs to, and which of the features' columns it takes.
struct score_step {
  int strip, tile, depth;

  __device__ void advance(const score_area& area, int depths) {
    if (++depth < depths) return;
    depth = 0;
    if (++tile < area.last_tile) return;
    tile = area.first_tile;
    ++strip;
  }
};

/// `strips` of rows from first_strip on by `tiles` of columns, in row_parts × column_parts areas, one a
/// block.
struct score_grid {
  int first_strip, strips, tiles;
  int row_parts, column_parts;

  /// At most `blocks` areas, the largest of which is as small as can be, in the fewest parts.
  static score_grid of(int first_strip, int strips, int tiles, int blocks) {
    score_grid best{first_strip, strips, tiles, 1, 1};
    const auto whole = [](int count, int parts) { return (count + parts - 1) / parts; };
    int64_t least = INT64_MAX;
    for (int row_parts = 1; row_parts <= blocks && row_parts <= strips; ++row_parts) {
      const int column_parts = blocks / row_parts < tiles ? blocks / row_parts : tiles;
      const int64_t largest = int64_t(whole(strips, row_parts)) * whole(tiles, column_parts);
      const bool has_fewer_parts = row_parts + column_parts < best.row_parts + best.column_parts;
      if (largest > least || (largest == least && !has_fewer_parts)) continue;
      least = largest;
      best.row_parts = row_parts;
      best.column_parts = column_parts;
    }
    return best;
  }

  int blocks() const { return strips > 0 && tiles > 0 ? row_parts * column_parts : 0; }

  __device__ int row_part() const { return device::block_index() / column_parts; }
  __device__ int column_part() const { return device::block_index() % column_parts; }
  __device__ score_area area() const {
    return {first_strip + part_begin(strips, row_part(), row_parts),
            first_strip + part_begin(strips, row_part() + 1, row_parts),
            part_begin(tiles, column_part(), column_parts),
            part_begin(tiles, column_part() + 1, column_parts)};
  }

 private:
  static __device__ int part_begin(int count, int part, int parts) {
    return int(int64_t(count) * part / parts);
  }
};

}  // namespace eva::cuda
