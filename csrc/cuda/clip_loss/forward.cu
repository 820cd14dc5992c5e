#include "cuda/clip_loss/score_tile.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/clip_loss.h"

namespace eva::cuda {
namespace {

using namespace device;

using block = score_block<2, 8, 4, 2>;
constexpr int side = block::rows;  // of a tile; as many columns
static_assert(block::rows == block::columns);
constexpr int stages_bytes = 2 * block::stage_bytes;

/// The maximum of some values and the sum of e^(value - maximum), over more and more of them (Milakov and
/// Gimelshein 2018).
struct exponential_sum {
  float maximum = -INFINITY, sum = 0;

  __device__ void merge(exponential_sum other) {
    const float larger = fmaxf(maximum, other.maximum);
    sum = sum * weight(maximum, larger) + other.sum * weight(other.maximum, larger);
    maximum = larger;
  }
  __device__ void merge_lanes(int mask) { merge({shuffle_xor(maximum, mask), shuffle_xor(sum, mask)}); }
  __device__ float log() const { return maximum + logf(sum); }

 private:
  static __device__ float weight(float part, float all) {
    return part == -INFINITY ? 0.0f : expf(part - all);
  }
};

/// What the tiles leave: of each row a sum for each part of the columns, of each column one for each strip of
/// rows.
struct partial_sums {
  exponential_sum* rows;     // [parts, B]
  exponential_sum* columns;  // [strips, B]
  float* own;                // [B], the score of each pair
  int strips, parts;
};

// Each warp's sums of the block's lines, gathered in shared memory as [Warps, side].
struct gathered_sums {
  shared_array<exponential_sum> data;

  __device__ void put(int warp, int line, exponential_sum part) const {
    data.store(warp * side + line, part);
  }
  template <int Warps> __device__ exponential_sum total(int line) const {
    exponential_sum all = data.load(line);
    for (int warp = 1; warp < Warps; ++warp) all.merge(data.load(warp * side + line));
    return all;
  }
};

static_assert(4 * side * int(sizeof(exponential_sum)) <= block::stage_bytes);

// Where a tile lies among the scores.
struct place {
  int strip, tile_index;
  int64_t batch;

  __device__ int64_t first_row() const { return int64_t(strip) * side; }
  __device__ int64_t first_column() const { return int64_t(tile_index) * side; }
  __device__ int rows() const { return int(min(batch - first_row(), int64_t(side))); }
  __device__ int columns() const { return int(min(batch - first_column(), int64_t(side))); }
};

// Scales a tile of products and sets -infinity outside the batch.
__device__ void scale_tile(block::sums& s, float scale, place at, float* own) {
  const int rows = at.rows(), columns = at.columns();
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int row = block::row_of(m, e), column = block::column_of(n, e);
        const bool inside = row < rows && column < columns;
        s[m][n][e] = inside ? s[m][n][e] * scale : -INFINITY;
        if (inside && row == column && at.strip == at.tile_index) own[at.first_row() + row] = s[m][n][e];
      }
}

__device__ float masked_exp(float value, float maximum) {
  return value == -INFINITY ? 0.0f : expf(value - maximum);
}

// The lane's share of its four rows.
__device__ void add_rows(const block::sums& s, exponential_sum (&rows)[2][2]) {
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      exponential_sum part;
#pragma unroll
      for (int n = 0; n < 8; ++n)
        part.maximum = fmaxf(part.maximum, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
#pragma unroll
      for (int n = 0; n < 8; ++n)
        part.sum +=
            masked_exp(s[m][n][2 * half], part.maximum) + masked_exp(s[m][n][2 * half + 1], part.maximum);
      rows[m][half].merge(part);
    }
}

// The warp's columns of a tile, each over its 32 rows.
__device__ void gather_columns(const block::sums& s, gathered_sums into) {
#pragma unroll
  for (int n = 0; n < 8; ++n)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const float values[4] = {s[0][n][e], s[0][n][e + 2], s[1][n][e], s[1][n][e + 2]};
      exponential_sum part;
      for (float value : values) part.maximum = fmaxf(part.maximum, value);
      for (float value : values) part.sum += masked_exp(value, part.maximum);
      for (int mask = 4; mask < warp_lanes; mask *= 2) part.merge_lanes(mask);
      if (lane_index() < 4) into.put(warp_index() % 4, block::column_of(n, e), part);
    }
}

// Each row's sum over the block's tiles.
__device__ void finish_rows(exponential_sum (&rows)[2][2], place at, exponential_sum* sums) {
  const gathered_sums gathered{shared_at<exponential_sum>(0)};
  block_barrier();
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      for (int mask = 1; mask < 4; mask *= 2) rows[m][half].merge_lanes(mask);
      if (lane_index() % 4 == 0) gathered.put(warp_index() / 4, block::row_of(m, 2 * half), rows[m][half]);
    }
  block_barrier();
  if (thread_index() < side && thread_index() < at.rows())
    sums[at.first_row() + thread_index()] = gathered.total<2>(thread_index());
}

// A block takes a strip of rows and a part of the columns, tile by tile.
__global__ void __launch_bounds__(block::threads)
    clip_loss_scores_kernel(split_sides sides, const float* logit_scale, partial_sums partial) {
  const int64_t batch = sides.image.batch;
  const int part = block_index() % partial.parts, tiles = int((batch + side - 1) / side);
  const int last_tile = tiles * (part + 1) / partial.parts,
            depth_steps = int(sides.image.stride / score_depth);
  const bool inexact = *sides.inexact != 0;
  // What a step of a tile needs, fetched while the step before is computed.
  const auto fetch = [&](int stage, place at, int step) {
    if (at.tile_index < last_tile)
      block::fetch(stage * block::stage_bytes, sides.image, at.first_row(), sides.text, at.first_column(),
                   step * score_depth, inexact);
    copy_commit();
  };
  exponential_sum rows[2][2];
  int stage = 0;
  place at{block_index() / partial.parts, tiles * part / partial.parts, batch};
  fetch(stage, at, 0);
  for (; at.tile_index < last_tile; ++at.tile_index) {
    block::sums scores = {};
    for (int step = 0; step < depth_steps; ++step, stage ^= 1) {
      copy_wait<0>();
      block_barrier();
      const bool more = step + 1 < depth_steps;
      fetch(stage ^ 1, more ? at : place{at.strip, at.tile_index + 1, batch}, more ? step + 1 : 0);
      block::multiply(stage * block::stage_bytes, scores, inexact);
    }
    // The stage that the last step has read is free until the next but one is fetched.
    const gathered_sums gathered{shared_at<exponential_sum>((stage ^ 1) * block::stage_bytes)};
    scale_tile(scores, expf(*logit_scale), at, partial.own);
    add_rows(scores, rows);
    block_barrier();
    gather_columns(scores, gathered);
    block_barrier();
    if (thread_index() < side && thread_index() < at.columns())
      partial.columns[at.strip * batch + at.first_column() + thread_index()] =
          gathered.total<4>(thread_index());
  }
  finish_rows(rows, at, partial.rows + part * batch);
}

/// A pair's part of the loss, and whether each half of it finds the other.
struct outcome {
  double loss;
  float images_right, texts_right;
};

constexpr int threads = 256, scratch_bytes = threads / warp_lanes * int(sizeof(double));

__device__ outcome block_outcome(outcome mine) {
  return {block_sum(mine.loss, shared_at<double>(0)), block_sum(mine.images_right, shared_at<float>(0)),
          block_sum(mine.texts_right, shared_at<float>(0))};
}

// Log sums of each row and column from its parts; outcomes [blocks]. The log sums may be null.
__global__ void __launch_bounds__(threads)
    clip_loss_log_sums_kernel(partial_sums partial, int64_t batch, float* row_log_sum, float* column_log_sum,
                              outcome* outcomes) {
  const int64_t i = int64_t(block_index()) * threads + thread_index();
  outcome mine{};
  if (i < batch) {
    exponential_sum row, column;
    for (int part = 0; part < partial.parts; ++part) row.merge(partial.rows[part * batch + i]);
    for (int strip = 0; strip < partial.strips; ++strip) column.merge(partial.columns[strip * batch + i]);
    const float own = partial.own[i];
    mine = {(double(row.log()) - own) + (double(column.log()) - own), own >= row.maximum ? 1.0f : 0.0f,
            own >= column.maximum ? 1.0f : 0.0f};
    if (row_log_sum) row_log_sum[i] = row.log();
    if (column_log_sum) column_log_sum[i] = column.log();
  }
  mine = block_outcome(mine);
  if (thread_index() == 0) outcomes[block_index()] = mine;
}

// The results, each of which may be null, from the blocks' outcomes.
__global__ void __launch_bounds__(threads)
    clip_loss_total_kernel(const outcome* outcomes, int count, int64_t batch, float* loss,
                           float* image_accuracy, float* text_accuracy) {
  outcome mine{};
  for (int i = thread_index(); i < count; i += threads) {
    mine.loss += outcomes[i].loss;
    mine.images_right += outcomes[i].images_right;
    mine.texts_right += outcomes[i].texts_right;
  }
  const outcome all = block_outcome(mine);
  if (thread_index() != 0) return;
  if (loss) *loss = float(all.loss / (2.0 * double(batch)));
  if (image_accuracy) *image_accuracy = all.images_right / float(batch);
  if (text_accuracy) *text_accuracy = all.texts_right / float(batch);
}

}  // namespace

template <> void run<ops::clip_loss>(const ops::clip_loss::args& a, context& c) {
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1);
  // Enough blocks for every multiprocessor, each with at least one tile.
  const int strips = std::max(1, int((batch + side - 1) / side));
  const int parts = std::clamp(c.properties.multiprocessors / strips, 1, strips);
  const int blocks = blocks_of(batch, threads);

  const int64_t split_bytes = split_sides::bytes(batch, embedding);
  const int64_t sums = (strips + parts) * batch * int64_t(sizeof(exponential_sum));
  const int64_t outcome_bytes = blocks * int64_t(sizeof(outcome));
  auto* const memory = c.scratch.take<std::byte>(split_bytes + sums + outcome_bytes + batch * 4);
  auto* const outcomes = reinterpret_cast<outcome*>(memory + split_bytes);
  auto* const rows = reinterpret_cast<exponential_sum*>(memory + split_bytes + outcome_bytes);
  const partial_sums partial{rows, rows + parts * batch,
                             reinterpret_cast<float*>(rows + (parts + strips) * batch), strips, parts};

  const split_sides sides = split(a.image.as<float>(), a.text.as<float>(), batch, embedding, memory, c);
  launch(clip_loss_scores_kernel, strips * parts, block::threads, stages_bytes, c.stream, sides,
         a.logit_scale.as<float>(), partial);
  launch(clip_loss_log_sums_kernel, blocks, threads, scratch_bytes, c.stream, partial, batch,
         a.row_log_sum.as<float>(), a.column_log_sum.as<float>(), outcomes);
  launch(clip_loss_total_kernel, 1, threads, scratch_bytes, c.stream, outcomes, blocks, batch,
         a.loss.as<float>(), a.image_accuracy.as<float>(), a.text_accuracy.as<float>());
}

}  // namespace eva::cuda
