#include "cuda/activation.cuh"
#include "cuda/base_2.h"
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

/// The initial maximum: below every logit, but finite, so that differences of maxima are never NaN.
constexpr float lowest = -1e30f;

/// An online log-sum-exp in base 2: the maximum of the values so far and Σ 2^(value - maximum) (Milakov and
/// Gimelshein 2018).
struct lse_accumulator {
  float maximum = lowest, sum = 0;

  __device__ void merge(lse_accumulator other) {
    const float larger = fmaxf(maximum, other.maximum);
    sum = sum * exp2_fast(maximum - larger) + other.sum * exp2_fast(other.maximum - larger);
    maximum = larger;
  }
  __device__ void merge_lanes(int mask) { merge({shuffle_xor(maximum, mask), shuffle_xor(sum, mask)}); }
  __device__ float log2() const { return maximum + log2f(sum); }
};

/// Partial log-sum-exps of the base-2 logits: of each row, one per part of the columns; of each column, one
/// per part of the rows. They exclude the diagonal.
struct partial_lses {
  lse_accumulator* rows;     // [column_parts, B]
  lse_accumulator* columns;  // [row_parts, B]
  float* diagonal;           // [B], the base-2 logit of each matching pair
};

/// [Warps, Lines] in shared memory: each warp's partial log-sum-exps of a tile's rows or columns (lines).
template <int Warps, int Lines> struct shared_partials {
  static constexpr int bytes = Warps * Lines * int(sizeof(lse_accumulator));

  shared_array<lse_accumulator> data;

  __device__ void put(int warp, int line, lse_accumulator part) const {
    data.store(warp * Lines + line, part);
  }
  __device__ lse_accumulator total(int line) const {
    lse_accumulator all = data.load(line);
    for (int warp = 1; warp < Warps; ++warp) all.merge(data.load(warp * Lines + line));
    return all;
  }
};

template <int Parts> struct scores_kernel {
  using block = score_block<Parts>;
  using accumulators = typename block::accumulators;
  using row_lses = lse_accumulator[block::m_tiles][2];  // of a lane
  using shared_rows = shared_partials<block::warps_n, block::block_m>;
  using shared_columns = shared_partials<block::warps_m, block::block_n>;
  static_assert(std::max(shared_rows::bytes, shared_columns::bytes) <= block::stage_bytes);

  /// Stores the logits on the diagonal, and masks them and what is outside the batch.
  static __device__ void extract_diagonal(accumulators& s, int row_tile, int column_tile, int64_t batch,
                                          float scale, float* diagonal) {
    block::for_masked_tile(s, row_tile, column_tile, batch, [&](float& score, int64_t row, int64_t column) {
      if (row == column && row < batch) diagonal[row] = score * scale;
      if (row == column || row >= batch || column >= batch) score = -INFINITY;
    });
  }

  /// Adds the lane's elements of a tile to its log-sum-exps of rows.
  static __device__ void add_rows(const accumulators& s, float scale, row_lses& rows) {
#pragma unroll
    for (int m = 0; m < block::m_tiles; ++m)
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        float largest = -INFINITY;
#pragma unroll
        for (int n = 0; n < block::n_tiles; ++n) largest = fmaxf(largest, fmaxf(s[m][n][e], s[m][n][e + 1]));
        lse_accumulator part{fmaxf(largest * scale, lowest), 0};
#pragma unroll
        for (int n = 0; n < block::n_tiles; ++n)
          part.sum +=
              exp2_fast(s[m][n][e] * scale - part.maximum) + exp2_fast(s[m][n][e + 1] * scale - part.maximum);
        rows[m][e / 2].merge(part);
      }
  }

  /// The log-sum-exps of the warp's rows of each column of a tile.
  static __device__ void reduce_columns(const accumulators& s, float scale, shared_columns into) {
#pragma unroll
    for (int n = 0; n < block::n_tiles; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float largest = -INFINITY;
#pragma unroll
        for (int m = 0; m < block::m_tiles; ++m) largest = fmaxf(largest, fmaxf(s[m][n][e], s[m][n][e + 2]));
        for (int mask = 4; mask < warp_size; mask *= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
        lse_accumulator part{fmaxf(largest * scale, lowest), 0};
#pragma unroll
        for (int m = 0; m < block::m_tiles; ++m)
          part.sum +=
              exp2_fast(s[m][n][e] * scale - part.maximum) + exp2_fast(s[m][n][e + 2] * scale - part.maximum);
        for (int mask = 4; mask < warp_size; mask *= 2) part.sum += shuffle_xor(part.sum, mask);
        if (lane_index() < 4) into.put(block::warp_m(), block::column_of(n, e), part);
      }
  }

  /// Merges the columns of a tile over the warps and with the row tiles before it.
  static __device__ void store_columns(shared_columns partials, bool is_first, int64_t first_column,
                                       int64_t batch, lse_accumulator* columns) {
    for (int i = thread_index(); i < block::block_n && first_column + i < batch; i += block::threads) {
      lse_accumulator total = partials.total(i);
      if (!is_first) total.merge(columns[first_column + i]);
      columns[first_column + i] = total;
    }
  }

  /// Merges the rows of a row tile over lanes and warps, after its last column tile.
  static __device__ void store_rows(row_lses& lane_rows, shared_rows partials, int64_t first_row,
                                    int64_t batch, lse_accumulator* rows) {
#pragma unroll
    for (int m = 0; m < block::m_tiles; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        lse_accumulator& row = lane_rows[m][half];
        row.merge_lanes(1);
        row.merge_lanes(2);
        if (lane_index() % 4 == 0) partials.put(block::warp_n(), block::row_of(m, 2 * half), row);
        row = {};
      }
    block_barrier();
    for (int i = thread_index(); i < block::block_m && first_row + i < batch; i += block::threads)
      rows[first_row + i] = partials.total(i);
  }
};

// The partial log-sum-exps of all rows and columns of the logits, and their diagonal; the logits are not
// stored.
// Expected bound: tensor cores, estimated at 45 % of their bf16 peak on an H100 (docs/performance.md); one
// block per SM.
template <int Parts>
__global__ void __launch_bounds__(score_block<Parts>::threads)
    clip_loss_scores_kernel(score_sides sides, const float* logit_scale, score_grid grid,
                            partial_lses partial) {
  using kernel = scores_kernel<Parts>;
  const int64_t batch = sides.image.batch;
  const float scale = expf(*logit_scale) * log2_e;
  const score_area area = grid.area();
  lse_accumulator* const columns = partial.columns + grid.row_part() * batch;
  lse_accumulator* const all_rows = partial.rows + grid.column_part() * batch;
  typename kernel::row_lses rows;
  for_each_score_tile<score_block<Parts>>(
      sides, area, [&](typename kernel::accumulators& scores, int row_tile, int column_tile, int free) {
        using block = score_block<Parts>;
        kernel::extract_diagonal(scores, row_tile, column_tile, batch, scale, partial.diagonal);
        kernel::add_rows(scores, scale, rows);
        const typename kernel::shared_columns partials{shared_at<lse_accumulator>(free)};
        block_barrier();
        kernel::reduce_columns(scores, scale, partials);
        block_barrier();
        kernel::store_columns(partials, row_tile == area.first_row_tile,
                              int64_t(column_tile) * block::block_n, batch, columns);
        if (column_tile + 1 < area.end_column_tile) return;
        block_barrier();
        kernel::store_rows(rows, {shared_at<lse_accumulator>(free)}, int64_t(row_tile) * block::block_m,
                           batch, all_rows);
      });
}

/// Sums over pairs: of the loss, and of the images and texts whose own partner scores highest.
struct loss_totals {
  double loss;
  float correct_images, correct_texts;
};

constexpr int threads = 256, scratch_bytes = threads / warp_size * int(sizeof(double));

__device__ loss_totals block_total(loss_totals mine) {
  return {block_sum(mine.loss, shared_at<double>(0)), block_sum(mine.correct_images, shared_at<float>(0)),
          block_sum(mine.correct_texts, shared_at<float>(0))};
}

/// Outputs of the rows' or columns' softmax [B]; each may be null.
struct softmax_outputs {
  float *lse, *log_odds;

  /// Writes row or column i, from the log-sum-exp without the diagonal and the logit on it; returns its
  /// cross-entropy.
  __device__ float put(int64_t i, lse_accumulator negatives, float positive) const {
    const float odds = (negatives.log2() - positive) * ln_2, entropy = softplus(odds);
    if (log_odds) log_odds[i] = odds;
    if (lse) lse[i] = positive * ln_2 + entropy;
    return entropy;
  }
};

// Merges the partial log-sum-exps of each row and column; block_totals [blocks].
__global__ void __launch_bounds__(threads)
    clip_loss_merge_kernel(partial_lses partial, score_grid grid, int64_t batch, softmax_outputs rows,
                           softmax_outputs columns, loss_totals* block_totals) {
  const int64_t i = int64_t(block_index()) * threads + thread_index();
  loss_totals mine{};
  if (i < batch) {
    lse_accumulator row, column;
    for (int part = 0; part < grid.column_parts; ++part) row.merge(partial.rows[part * batch + i]);
    for (int part = 0; part < grid.row_parts; ++part) column.merge(partial.columns[part * batch + i]);
    const float positive = partial.diagonal[i];
    mine = {double(rows.put(i, row, positive)) + double(columns.put(i, column, positive)),
            positive >= row.maximum ? 1.0f : 0.0f, positive >= column.maximum ? 1.0f : 0.0f};
  }
  mine = block_total(mine);
  if (thread_index() == 0) block_totals[block_index()] = mine;
}

// The loss and accuracies, each of which may be null, from the totals of all blocks.
__global__ void __launch_bounds__(threads)
    clip_loss_total_kernel(const loss_totals* block_totals, int count, int64_t batch, float* loss,
                           float* image_accuracy, float* text_accuracy) {
  loss_totals mine{};
  for (int i = thread_index(); i < count; i += threads) {
    mine.loss += block_totals[i].loss;
    mine.correct_images += block_totals[i].correct_images;
    mine.correct_texts += block_totals[i].correct_texts;
  }
  const loss_totals all = block_total(mine);
  if (thread_index() != 0) return;
  if (loss) *loss = float(all.loss / (2.0 * double(batch)));
  if (image_accuracy) *image_accuracy = all.correct_images / float(batch);
  if (text_accuracy) *text_accuracy = all.correct_texts / float(batch);
}

template <int Parts> void run_with(const ops::clip_loss::args& a, context& c) {
  using block = score_block<Parts>;
  const int64_t batch = a.image.dim(0);
  const int blocks = blocks_of(batch, threads);
  const auto grid = score_grid::of(0, blocks_of(batch, block::block_m), blocks_of(batch, block::block_n),
                                   c.properties.multiprocessors);

  const int64_t sides_bytes = score_sides::bytes(a.image),
                totals_bytes = blocks * int64_t(sizeof(loss_totals));
  const int64_t lses = (grid.row_parts + grid.column_parts) * batch;
  auto* const memory = c.scratch.take<std::byte>(sides_bytes + totals_bytes +
                                                 lses * int64_t(sizeof(lse_accumulator)) + batch * 4);
  auto* const block_totals = reinterpret_cast<loss_totals*>(memory + sides_bytes);
  auto* const rows = reinterpret_cast<lse_accumulator*>(memory + sides_bytes + totals_bytes);
  const partial_lses partial{rows, rows + grid.column_parts * batch, reinterpret_cast<float*>(rows + lses)};

  const score_sides sides = score_sides::of(a.image, a.text, memory);
  copy_features(a.image, a.text, sides, c);
  launch(clip_loss_scores_kernel<Parts>, grid.blocks(), block::threads, block::shared_bytes, c.stream, sides,
         a.logit_scale.as<float>(), grid, partial);
  launch(clip_loss_merge_kernel, blocks, threads, scratch_bytes, c.stream, partial, grid, batch,
         softmax_outputs{a.row_log_sum.as<float>(), a.row_log_odds.as<float>()},
         softmax_outputs{a.column_log_sum.as<float>(), a.column_log_odds.as<float>()}, block_totals);
  launch(clip_loss_total_kernel, 1, threads, scratch_bytes, c.stream, block_totals, blocks, batch,
         a.loss.as<float>(), a.image_accuracy.as<float>(), a.text_accuracy.as<float>());
}

}  // namespace

template <> void run<ops::clip_loss>(const ops::clip_loss::args& a, context& c) {
  a.image.type == dtype::f32 ? run_with<3>(a, c) : run_with<1>(a, c);
}

}  // namespace eva::cuda
