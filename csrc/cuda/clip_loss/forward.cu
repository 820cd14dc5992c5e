#include "cuda/clip_loss/probability.cuh"
#include "cuda/clip_loss/score_tile.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/clip_loss.h"

namespace eva::cuda {
namespace {

using namespace device;

/// Below every logit, and finite: where maxima start, so that a difference from one is never NaN.
constexpr float lowest = -1e30f;

/// The maximum of some values and the sum of 2^(value - maximum), over more and more of them (Milakov and
/// Gimelshein 2018).
struct power_sum {
  float maximum = lowest, sum = 0;

  __device__ void merge(power_sum other) {
    const float larger = fmaxf(maximum, other.maximum);
    sum = sum * exp2_fast(maximum - larger) + other.sum * exp2_fast(other.maximum - larger);
    maximum = larger;
  }
  __device__ void merge_lanes(int mask) { merge({shuffle_xor(maximum, mask), shuffle_xor(sum, mask)}); }
  __device__ float log2() const { return maximum + log2f(sum); }
};

/// What the tiles leave of the logits in base 2: of each row a sum for each part of the columns, of each
/// column one for each part of the rows, neither of which holds the pair itself.
struct partial_sums {
  power_sum* rows;     // [column_parts, B]
  power_sum* columns;  // [row_parts, B]
  float* own;          // [B], the score of each pair
};

// The sums of a tile's lines, one a warp, gathered in shared memory as [Warps, Lines].
template <int Warps, int Lines> struct gathered_sums {
  static constexpr int bytes = Warps * Lines * int(sizeof(power_sum));

  shared_array<power_sum> data;

  __device__ void put(int warp, int line, power_sum part) const { data.store(warp * Lines + line, part); }
  __device__ power_sum total(int line) const {
    power_sum all = data.load(line);
    for (int warp = 1; warp < Warps; ++warp) all.merge(data.load(warp * Lines + line));
    return all;
  }
};

template <int Parts> struct scores_kernel {
  using block = score_block<Parts>;
  using sums = typename block::sums;
  using row_sums = power_sum[block::row_tiles][2];  // of a lane
  using gathered_rows = gathered_sums<block::column_warps, block::rows>;
  using gathered_columns = gathered_sums<block::row_warps, block::columns>;
  static_assert(std::max(gathered_rows::bytes, gathered_columns::bytes) <= block::stage_bytes);

  // Takes each pair's score, and what is outside the batch, out of a tile.
  static __device__ void take_own(sums& s, int strip, int tile_index, int64_t batch, float scale,
                                  float* own) {
    block::for_odd_tile(s, strip, tile_index, batch, [&](float& score, int64_t row, int64_t column) {
      if (row == column && row < batch) own[row] = score * scale;
      if (row == column || row >= batch || column >= batch) score = -INFINITY;
    });
  }

  // The lane's share of its rows.
  static __device__ void add_rows(const sums& s, float scale, row_sums& rows) {
#pragma unroll
    for (int m = 0; m < block::row_tiles; ++m)
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        float largest = -INFINITY;
#pragma unroll
        for (int n = 0; n < block::column_tiles; ++n)
          largest = fmaxf(largest, fmaxf(s[m][n][e], s[m][n][e + 1]));
        power_sum part{fmaxf(largest * scale, lowest), 0};
#pragma unroll
        for (int n = 0; n < block::column_tiles; ++n)
          part.sum +=
              exp2_fast(s[m][n][e] * scale - part.maximum) + exp2_fast(s[m][n][e + 1] * scale - part.maximum);
        rows[m][e / 2].merge(part);
      }
  }

  // The warp's columns of a tile.
  static __device__ void gather_columns(const sums& s, float scale, gathered_columns into) {
#pragma unroll
    for (int n = 0; n < block::column_tiles; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float largest = -INFINITY;
#pragma unroll
        for (int m = 0; m < block::row_tiles; ++m)
          largest = fmaxf(largest, fmaxf(s[m][n][e], s[m][n][e + 2]));
        for (int mask = 4; mask < warp_lanes; mask *= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
        power_sum part{fmaxf(largest * scale, lowest), 0};
#pragma unroll
        for (int m = 0; m < block::row_tiles; ++m)
          part.sum +=
              exp2_fast(s[m][n][e] * scale - part.maximum) + exp2_fast(s[m][n][e + 2] * scale - part.maximum);
        for (int mask = 4; mask < warp_lanes; mask *= 2) part.sum += shuffle_xor(part.sum, mask);
        if (lane_index() < 4) into.put(block::row_warp(), block::column_of(n, e), part);
      }
  }

  // The columns of a tile, added to those of the strips before.
  static __device__ void finish_columns(gathered_columns gathered, bool is_first, int64_t first_column,
                                        int64_t batch, power_sum* columns) {
    for (int i = thread_index(); i < block::columns && first_column + i < batch; i += block::threads) {
      power_sum total = gathered.total(i);
      if (!is_first) total.merge(columns[first_column + i]);
      columns[first_column + i] = total;
    }
  }

  // The rows of a strip, over all of its tiles.
  static __device__ void finish_rows(row_sums& lane_rows, gathered_rows gathered, int64_t first_row,
                                     int64_t batch, power_sum* rows) {
#pragma unroll
    for (int m = 0; m < block::row_tiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        power_sum& row = lane_rows[m][half];
        row.merge_lanes(1);
        row.merge_lanes(2);
        if (lane_index() % 4 == 0) gathered.put(block::column_warp(), block::row_of(m, 2 * half), row);
        row = {};
      }
    block_barrier();
    for (int i = thread_index(); i < block::rows && first_row + i < batch; i += block::threads)
      rows[first_row + i] = gathered.total(i);
  }
};

template <int Parts>
__global__ void __launch_bounds__(score_block<Parts>::threads)
    clip_loss_scores_kernel(score_sides sides, const float* logit_scale, score_grid grid,
                            partial_sums partial) {
  using kernel = scores_kernel<Parts>;
  const int64_t batch = sides.image.batch;
  const float scale = expf(*logit_scale) * log2_e;
  const score_area area = grid.area();
  power_sum* const columns = partial.columns + grid.row_part() * batch;
  power_sum* const all_rows = partial.rows + grid.column_part() * batch;
  typename kernel::row_sums rows;
  for_each_score_tile<score_block<Parts>>(
      sides, area, [&](typename kernel::sums& scores, int strip, int tile_index, int free) {
        using block = score_block<Parts>;
        kernel::take_own(scores, strip, tile_index, batch, scale, partial.own);
        kernel::add_rows(scores, scale, rows);
        const typename kernel::gathered_columns gathered{shared_at<power_sum>(free)};
        block_barrier();
        kernel::gather_columns(scores, scale, gathered);
        block_barrier();
        kernel::finish_columns(gathered, strip == area.first_strip, int64_t(tile_index) * block::columns,
                               batch, columns);
        if (tile_index + 1 < area.last_tile) return;
        block_barrier();
        kernel::finish_rows(rows, {shared_at<power_sum>(free)}, int64_t(strip) * block::rows, batch,
                            all_rows);
      });
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

/// What is kept of each answer; each may be null.
struct answers {
  float *log_sums, *log_odds;

  /// Answer i, from the others' sum and its own pair's score; gives its part of the loss.
  __device__ float put(int64_t i, power_sum others, float own) const {
    const float odds = (others.log2() - own) * ln_2, entropy = softplus(odds);
    if (log_odds) log_odds[i] = odds;
    if (log_sums) log_sums[i] = own * ln_2 + entropy;
    return entropy;
  }
};

// What is known of each row and column, from its parts; outcomes [blocks].
__global__ void __launch_bounds__(threads)
    clip_loss_answers_kernel(partial_sums partial, score_grid grid, int64_t batch, answers rows,
                             answers columns, outcome* outcomes) {
  const int64_t i = int64_t(block_index()) * threads + thread_index();
  outcome mine{};
  if (i < batch) {
    power_sum row, column;
    for (int part = 0; part < grid.column_parts; ++part) row.merge(partial.rows[part * batch + i]);
    for (int part = 0; part < grid.row_parts; ++part) column.merge(partial.columns[part * batch + i]);
    const float own = partial.own[i];
    mine = {double(rows.put(i, row, own)) + double(columns.put(i, column, own)),
            own >= row.maximum ? 1.0f : 0.0f, own >= column.maximum ? 1.0f : 0.0f};
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

template <int Parts> void run_in(const ops::clip_loss::args& a, context& c) {
  using block = score_block<Parts>;
  const int64_t batch = a.image.dim(0);
  const int blocks = blocks_of(batch, threads);
  const auto grid = score_grid::of(0, blocks_of(batch, block::rows), blocks_of(batch, block::columns),
                                   c.properties.multiprocessors);

  const int64_t sides_bytes = score_sides::bytes(a.image), outcome_bytes = blocks * int64_t(sizeof(outcome));
  const int64_t sums = (grid.row_parts + grid.column_parts) * batch;
  auto* const memory =
      c.scratch.take<std::byte>(sides_bytes + outcome_bytes + sums * int64_t(sizeof(power_sum)) + batch * 4);
  auto* const outcomes = reinterpret_cast<outcome*>(memory + sides_bytes);
  auto* const rows = reinterpret_cast<power_sum*>(memory + sides_bytes + outcome_bytes);
  const partial_sums partial{rows, rows + grid.column_parts * batch, reinterpret_cast<float*>(rows + sums)};

  const score_sides sides = score_sides::of(a.image, a.text, memory);
  copy_features(a.image, a.text, sides, c);
  launch(clip_loss_scores_kernel<Parts>, grid.blocks(), block::threads, block::shared_bytes, c.stream, sides,
         a.logit_scale.as<float>(), grid, partial);
  launch(clip_loss_answers_kernel, blocks, threads, scratch_bytes, c.stream, partial, grid, batch,
         answers{a.row_log_sum.as<float>(), a.row_log_odds.as<float>()},
         answers{a.column_log_sum.as<float>(), a.column_log_odds.as<float>()}, outcomes);
  launch(clip_loss_total_kernel, 1, threads, scratch_bytes, c.stream, outcomes, blocks, batch,
         a.loss.as<float>(), a.image_accuracy.as<float>(), a.text_accuracy.as<float>());
}

}  // namespace

template <> void run<ops::clip_loss>(const ops::clip_loss::args& a, context& c) {
  a.image.type == dtype::f32 ? run_in<3>(a, c) : run_in<1>(a, c);
}

}  // namespace eva::cuda
