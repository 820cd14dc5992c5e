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
  static __device__ float weight(float part, float all) { return part == -INFINITY ? 0.0f : expf(part - all); }
};

/// What the tiles leave: of each row a sum for each part of the columns, of each column one for each strip of
/// rows.
struct partial_sums {
  exponential_sum* rows;     // [parts, B]
  exponential_sum* columns;  // [strips, B]
  float* own;                // [B], the score of each pair
  int64_t strips, parts;
};

// Each warp's sums of the block's lines, gathered in shared memory as [Warps, side].
struct gathered_sums {
  shared_array<exponential_sum> data;

  __device__ void put(int warp, int line, exponential_sum part) const { data.store(warp * side + line, part); }
  template <int Warps> __device__ exponential_sum total(int line) const {
    exponential_sum all = data.load(line);
    for (int warp = 1; warp < Warps; ++warp) all.merge(data.load(warp * side + line));
    return all;
  }
};

constexpr int gathered_bytes = 4 * side * int(sizeof(exponential_sum));

// Scales a tile of products and sets -infinity outside the batch.
__device__ void scale_tile(block::sums& s, float scale, int64_t first_row, int64_t first_column, int64_t batch,
                           float* own) {
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t row = first_row + block::row_of(m, e), column = first_column + block::column_of(n, e);
        const bool inside = row < batch && column < batch;
        s[m][n][e] = inside ? s[m][n][e] * scale : -INFINITY;
        if (inside && row == column) own[row] = s[m][n][e];
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
        part.sum += masked_exp(s[m][n][2 * half], part.maximum) +
                    masked_exp(s[m][n][2 * half + 1], part.maximum);
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

// A block takes a strip of rows and a part of the columns, tile by tile.
__global__ void __launch_bounds__(block::threads)
    clip_loss_scores_kernel(split_sides sides, const float* logit_scale, partial_sums partial) {
  const int64_t batch = sides.image.batch;
  const int64_t strip = block_index() / partial.parts, part = block_index() % partial.parts;
  const int64_t tiles = (batch + side - 1) / side, first_row = strip * side;
  const int64_t first_tile = tiles * part / partial.parts, last_tile = tiles * (part + 1) / partial.parts;
  const int depth_steps = int(sides.image.stride / score_depth);
  const bool inexact = *sides.inexact != 0;
  const float scale = expf(*logit_scale);
  const gathered_sums gathered{shared_at<exponential_sum>(stages_bytes)};

  const int64_t steps = (last_tile - first_tile) * depth_steps;
  const auto fetch = [&](int64_t step) {
    block::fetch(int(step % 2) * block::stage_bytes, sides.image, first_row, sides.text,
                 (first_tile + step / depth_steps) * side, step % depth_steps * score_depth, inexact);
    copy_commit();
  };
  exponential_sum rows[2][2];
  block::sums scores = {};
  if (steps > 0) fetch(0);
  for (int64_t step = 0; step < steps; ++step) {
    copy_wait<0>();
    block_barrier();
    if (step + 1 < steps) fetch(step + 1);
    block::multiply(int(step % 2) * block::stage_bytes, scores, inexact);
    if ((step + 1) % depth_steps != 0) continue;
    const int64_t first_column = (first_tile + step / depth_steps) * side;
    scale_tile(scores, scale, first_row, first_column, batch, partial.own);
    add_rows(scores, rows);
    gather_columns(scores, gathered);
    block_barrier();
    const int64_t column = first_column + thread_index();
    if (thread_index() < side && column < batch)
      partial.columns[strip * batch + column] = gathered.total<4>(thread_index());
    for (auto& m : scores)
      for (auto& n : m)
        for (float& score : n) score = 0;
  }

  block_barrier();
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      for (int mask = 1; mask < 4; mask *= 2) rows[m][half].merge_lanes(mask);
      if (lane_index() % 4 == 0) gathered.put(warp_index() / 4, block::row_of(m, 2 * half), rows[m][half]);
    }
  block_barrier();
  const int64_t row = first_row + thread_index();
  if (thread_index() < side && row < batch) partial.rows[part * batch + row] = gathered.total<2>(thread_index());
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
    for (int64_t part = 0; part < partial.parts; ++part) row.merge(partial.rows[part * batch + i]);
    for (int64_t strip = 0; strip < partial.strips; ++strip) column.merge(partial.columns[strip * batch + i]);
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
    clip_loss_total_kernel(const outcome* outcomes, int count, int64_t batch, float* loss, float* image_accuracy,
                           float* text_accuracy) {
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
  const int64_t strips = std::max<int64_t>(1, (batch + side - 1) / side);
  const int64_t parts = std::clamp<int64_t>(c.properties.multiprocessors / strips, 1, strips);
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
  launch(clip_loss_scores_kernel, int(strips * parts), block::threads, stages_bytes + gathered_bytes, c.stream,
         sides, a.logit_scale.as<float>(), partial);
  launch(clip_loss_log_sums_kernel, blocks, threads, scratch_bytes, c.stream, partial, batch,
         a.row_log_sum.as<float>(), a.column_log_sum.as<float>(), outcomes);
  launch(clip_loss_total_kernel, 1, threads, scratch_bytes, c.stream, outcomes, blocks, batch,
         a.loss.as<float>(), a.image_accuracy.as<float>(), a.text_accuracy.as<float>());
}

}  // namespace eva::cuda
