#include "cuda/clip_loss/score_tile.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/clip_loss.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int side = 64;           // of a tile of scores
constexpr int row_warps = 4;       // of 16 rows each
constexpr int part_columns = 128;  // of the gradient, that a warp keeps in registers
constexpr int pieces = part_columns / score_depth;

/// Everything about the gradient of one side: G is that of the scores, a row for each of `mine`.
struct side_gradient {
  split_rows mine, other;
  const int* inexact;
  const float *logit_scale, *dloss;
  const float *my_log_sum, *other_log_sum;  // [B]
  float* gradient;                          // [B, embedding], or null
  float* scale_sums;                        // [strips], sums of G ∘ S; or null
  int64_t embedding;
};

// A strip of scores and of the gradient: ColumnWarps × part_columns columns of the gradient a block.
template <int ColumnWarps> struct gradient_block {
  using scores = score_block<1, 8 / ColumnWarps, row_warps, ColumnWarps>;
  static_assert(scores::rows == side && scores::columns == side);
  /// Two parts leave the gradient 2^-17 off.
  using piece_tile = split_tile<side, 2>;
  static constexpr int threads = scores::threads, columns = ColumnWarps * part_columns;
  static constexpr int stage_bytes = std::max(scores::stage_bytes, ColumnWarps* piece_tile::bytes);
  static constexpr int weights_offset = 2 * stage_bytes;
  static constexpr int shared_bytes = weights_offset + 2 * tile<side>::bytes(side);

  using sums = float[pieces][4][4];  // of a warp: 16 rows × part_columns

  /// s G of the tile, as two bf16.
  static __device__ tile<side> high_weights() { return tile<side>::at(weights_offset); }
  static __device__ tile<side> low_weights() {
    return tile<side>::at(weights_offset + tile<side>::bytes(side));
  }

  /// Turns products into s G = s factor (e^(S - row) + e^(S - column) - 2 I), and returns the sum of G ∘ S.
  static __device__ float weigh(const side_gradient& p, const typename scores::sums& products,
                                int64_t first_row, int64_t first_column) {
    const float scale = expf(*p.logit_scale), factor = *p.dloss / (2.0f * float(p.mine.batch));
    float sum = 0;
#pragma unroll
    for (int n = 0; n < 8 / ColumnWarps; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float weights[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int64_t row = first_row + scores::row_of(0, 2 * half);
          const int64_t column = first_column + scores::column_of(n, e);
          weights[e] = 0;
          if (row >= p.mine.batch || column >= p.mine.batch) continue;
          const float s = products[0][n][2 * half + e] * scale;
          float g = (expf(s - p.my_log_sum[row]) + expf(s - p.other_log_sum[column])) * factor;
          if (row == column) g -= 2 * factor;
          sum += g * s;
          weights[e] = g * scale;
        }
        const int row = scores::row_of(0, 2 * half), column = scores::column_of(n, 0);
        const uint32_t high = pack_bf16(weights[0], weights[1]);
        const pair rounded = unpack_bf16(high);
        high_weights().store_pair(row, column, high);
        low_weights().store_pair(row, column,
                                 pack_bf16(weights[0] - rounded.first, weights[1] - rounded.second));
      }
    return sum;
  }

  /// The piece of `other` that each column of warps multiplies by in this step.
  static __device__ void fetch_pieces(int stage_offset, const split_rows& other, int64_t first_row,
                                      int64_t first_column, bool inexact) {
    for (int part = 0; part < ColumnWarps; ++part)
      piece_tile{stage_offset + part * piece_tile::bytes}.fetch(other, first_row,
                                                                first_column + part * part_columns, inexact);
  }

  /// c [16, score_depth] += weights [16, side] piece [side, score_depth]
  static __device__ void multiply_piece(int stage_offset, float (&c)[4][4], bool inexact) {
    const piece_tile piece{stage_offset + warp_index() / row_warps * piece_tile::bytes};
#pragma unroll
    for (int k = 0; k < side; k += 16) {
      const matrices high = high_weights().load_a(scores::first_row(), k);
      const matrices low = low_weights().load_a(scores::first_row(), k);
#pragma unroll
      for (int n = 0; n < 4; n += 2) {
        const matrices b = piece.part(0).load_b_transposed(k, 8 * n);
        scores::multiply_pair(c[n], c[n + 1], high, b);
        scores::multiply_pair(c[n], c[n + 1], low, b);
        if (inexact) scores::multiply_pair(c[n], c[n + 1], high, piece.part(1).load_b_transposed(k, 8 * n));
      }
    }
  }

  /// The warp's rows and columns of the gradient.
  static __device__ void store(const side_gradient& p, const sums& c, int64_t first_row,
                               int64_t first_column) {
    first_column += warp_index() / row_warps * part_columns + lane_index() % 4 * 2;
#pragma unroll
    for (int piece = 0; piece < pieces; ++piece)
#pragma unroll
      for (int n = 0; n < 4; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int64_t row = first_row + scores::row_of(0, e);
          const int64_t column = first_column + score_depth * piece + 8 * n + e % 2;
          if (row < p.mine.batch && column < p.embedding)
            p.gradient[row * p.embedding + column] = c[piece][n][e];
        }
  }
};

// A block takes a strip of rows and a part of the gradient's columns, and walks over the tiles of scores: the
// steps of the scores' product, then those of the gradient's, each of which fetches what the next one needs.
template <int ColumnWarps>
__global__ void __launch_bounds__(gradient_block<ColumnWarps>::threads)
    clip_loss_gradient_kernel(side_gradient p) {
  using block = gradient_block<ColumnWarps>;
  const int64_t parts = (p.embedding + block::columns - 1) / block::columns;
  const int64_t first_row = block_index() / parts * side,
                first_column = block_index() % parts * block::columns;
  const int64_t tiles = (p.mine.batch + side - 1) / side;
  const int score_steps = int(p.mine.stride / score_depth), tile_steps = score_steps + pieces;
  const bool inexact = *p.inexact != 0;
  int64_t step = 0;
  const auto fetch = [&](int64_t next) {
    const int stage = int(next % 2) * block::stage_bytes, within = int(next % tile_steps);
    const int64_t other_row = next / tile_steps * side;
    if (within < score_steps)
      block::scores::fetch(stage, p.mine, first_row, p.other, other_row, within * score_depth, inexact);
    else
      block::fetch_pieces(stage, p.other, other_row, first_column + (within - score_steps) * score_depth,
                          inexact);
    copy_commit();
  };
  // What was fetched for this step is there, and everybody is done with the other stage.
  const auto begin_step = [&] {
    copy_wait<0>();
    block_barrier();
    const int stage = int(step % 2) * block::stage_bytes;
    if (++step < tiles * tile_steps) fetch(step);
    return stage;
  };

  typename block::sums gradient = {};
  float scale_sum = 0;
  fetch(0);
  for (int64_t t = 0; t < tiles; ++t) {
    typename block::scores::sums products = {};
    for (int k = 0; k < score_steps; ++k) block::scores::multiply(begin_step(), products, inexact);
    scale_sum += block::weigh(p, products, first_row, t * side);
#pragma unroll
    for (int piece = 0; piece < pieces; ++piece)
      block::multiply_piece(begin_step(), gradient[piece], inexact);
  }
  if (p.gradient) block::store(p, gradient, first_row, first_column);
  if (!p.scale_sums || first_column > 0) return;
  scale_sum = block_sum(scale_sum, shared_at<float>(0));
  if (thread_index() == 0) p.scale_sums[block_index() / parts] = scale_sum;
}

constexpr int sum_threads = 256;

__global__ void __launch_bounds__(sum_threads)
    clip_loss_scale_gradient_kernel(const float* scale_sums, int64_t strips, float* dlogit_scale) {
  double sum = 0;
  for (int64_t i = thread_index(); i < strips; i += sum_threads) sum += double(scale_sums[i]);
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) *dlogit_scale = float(sum);
}

template <int ColumnWarps> int blocks_for(const side_gradient& p) {
  const int64_t strips = (p.mine.batch + side - 1) / side;
  return int(strips * ((p.embedding + part_columns * ColumnWarps - 1) / (part_columns * ColumnWarps)));
}

template <int ColumnWarps> void launch_gradient(const side_gradient& p, const context& c) {
  using block = gradient_block<ColumnWarps>;
  launch(clip_loss_gradient_kernel<ColumnWarps>, blocks_for<ColumnWarps>(p), block::threads,
         block::shared_bytes, c.stream, p);
}

/// Scores are computed again for each part of the gradient's columns, so parts are as wide as the gradient
/// unless that leaves multiprocessors without a block.
void gradient_of(const side_gradient& p, const context& c) {
  if (p.embedding <= part_columns)
    launch_gradient<1>(p, c);
  else if (p.embedding <= 2 * part_columns || blocks_for<4>(p) < c.properties.multiprocessors)
    launch_gradient<2>(p, c);
  else
    launch_gradient<4>(p, c);
}

}  // namespace

template <> void run<ops::clip_loss_backward>(const ops::clip_loss_backward::args& a, context& c) {
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1), strips = (batch + side - 1) / side;
  const int64_t split_bytes = split_sides::bytes(batch, embedding);
  auto* const memory = c.scratch.take<std::byte>(split_bytes + strips * int64_t(sizeof(float)));
  auto* const scale_sums = reinterpret_cast<float*>(memory + split_bytes);
  const split_sides sides = split(a.image.as<float>(), a.text.as<float>(), batch, embedding, memory, c);
  const side_gradient images{sides.image,
                             sides.text,
                             sides.inexact,
                             a.logit_scale.as<float>(),
                             a.dloss.as<float>(),
                             a.row_log_sum.as<float>(),
                             a.column_log_sum.as<float>(),
                             a.dimage.as<float>(),
                             a.dlogit_scale.data ? scale_sums : nullptr,
                             embedding};
  side_gradient texts = images;
  std::swap(texts.mine, texts.other);
  std::swap(texts.my_log_sum, texts.other_log_sum);
  texts.gradient = a.dtext.as<float>();
  texts.scale_sums = nullptr;
  if (a.dimage.data || a.dlogit_scale.data) gradient_of(images, c);
  if (a.dtext.data) gradient_of(texts, c);
  if (a.dlogit_scale.data)
    launch(clip_loss_scale_gradient_kernel, 1, sum_threads, sum_threads / warp_lanes * int(sizeof(double)),
           c.stream, scale_sums, strips, a.dlogit_scale.as<float>());
}

}  // namespace eva::cuda
