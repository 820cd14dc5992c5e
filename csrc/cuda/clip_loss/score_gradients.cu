#include "cuda/base_2.h"
#include "cuda/clip_loss/score_gradients.h"
#include "cuda/clip_loss/score_tile.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {
namespace {

using namespace device;

/// The score of masked elements, below every logit: 2^lowest is 0, and so is 2^lowest · lowest.
constexpr float lowest = -1e30f;

struct lse_vectors {
  const float *row, *column;  // [B]
};

template <int Parts> struct score_gradients_kernel {
  using block = score_block<Parts>;
  static constexpr int gradient_parts = Parts == 1 ? 1 : 2;

  /// Stores a row's gradients in two adjacent n tiles, of which the lane has two columns each. Lanes exchange
  /// them in pairs, so that even lanes store four columns of the left tile and odd lanes four of the right
  /// one: a quad writes 32 bytes.
  static __device__ void store_row(const float (&left)[2], const float (&right)[2], bf16* row, int64_t column,
                                   bool inside) {
    const bool is_odd = lane_index() % 2 == 1;
    const uint32_t of_left = pack_bf16(left[0], left[1]), of_right = pack_bf16(right[0], right[1]);
    const uint32_t others = shuffle_xor(is_odd ? of_left : of_right, 1);
    if (!inside) return;
    const bf16_quad four{{is_odd ? others : of_left, is_odd ? of_right : others}};
    *reinterpret_cast<bf16_quad*>(row + column) = four;
  }

  /// Residuals after rounding to bf16.
  static __device__ void subtract_rounded(float (&x)[2]) {
    for (float& value : x) value -= to_float(to_bf16(value));
  }

  /// The gradients of one row's scores in two adjacent n tiles; returns their sum of P log2 P + Q log2 Q.
  static __device__ float differentiate_row(const float (&left)[2], const float (&right)[2], float scale,
                                            float row_lse, const float (&column_lses)[4], float factor,
                                            float (&gradients)[2][2]) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float score = (i < 2 ? left[i % 2] : right[i % 2]) * scale;
      const float log_p = score - row_lse, log_q = score - column_lses[i];
      const float p = exp2_fast(log_p), q = exp2_fast(log_q);
      sum += p * log_p + q * log_q;
      gradients[i / 2][i % 2] = (p + q) * factor;
    }
    return sum;
  }

  /// The gradients of a tile of scores; returns the lane's part of their sum of P log2 P + Q log2 Q.
  static __device__ float differentiate_tile(const typename block::accumulators& s, float scale, float factor,
                                             lse_vectors lse, int64_t top, int64_t left, int64_t batch,
                                             const score_gradients& to) {
    float sum = 0;
    const int shift = lane_index() % 2 == 1 ? 6 : 0;
#pragma unroll
    for (int n = 0; n < block::n_tiles; n += 2) {
      warp_barrier();  // or the compiler holds the rows' lse in registers, of which there are not enough
      float column_lses[4];
      for (int i = 0; i < 4; ++i)
        column_lses[i] = log2_e * lse.column[min(left + block::column_of(n + i / 2, i % 2), batch - 1)];
      const int64_t column = left + block::column_of(n, 0) + shift;
#pragma unroll
      for (int m = 0; m < block::m_tiles; ++m)
#pragma unroll
        for (int e = 0; e < 4; e += 2) {
          const int64_t row = top + block::row_of(m, e);
          const float first[2] = {s[m][n][e], s[m][n][e + 1]},
                      second[2] = {s[m][n + 1][e], s[m][n + 1][e + 1]};
          float gradients[2][2];
          sum += differentiate_row(first, second, scale, log2_e * lse.row[min(row, batch - 1)], column_lses,
                                   factor, gradients);
          if (!to.parts) continue;
          bf16* to_row = to.parts + (row - to.first_row) * to.stride;
          const bool inside = row < batch && column < batch;
          store_row(gradients[0], gradients[1], to_row, column, inside);
          if constexpr (gradient_parts == 1) continue;
          subtract_rounded(gradients[0]);
          subtract_rounded(gradients[1]);
          store_row(gradients[0], gradients[1], to_row + to.part_stride, column, inside);
        }
    }
    return sum;
  }
};

// s G of some rows, recomputing their scores.
// Expected bound: tensor cores, estimated at 45 % of their bf16 peak on an H100 (docs/performance.md); one
// block per SM.
template <int Parts>
__global__ void __launch_bounds__(score_block<Parts>::threads)
    clip_loss_score_gradients_kernel(score_sides sides, const float* logit_scale, const float* dloss,
                                     lse_vectors lse, score_grid grid, score_gradients to,
                                     float* entropy_sums) {
  using block = score_block<Parts>;
  const int64_t batch = sides.image.batch;
  const float exponential = expf(*logit_scale), scale = exponential * log2_e;
  const float factor = exponential * *dloss / (2.0f * float(batch));
  float sum = 0;
  const auto differentiate = [&](typename block::accumulators& scores, int row_tile, int column_tile, int) {
    block::for_masked_tile(scores, row_tile, column_tile, batch,
                           [&](float& score, int64_t row, int64_t column) {
                             if (row == column || row >= batch || column >= batch) score = lowest;
                           });
    sum += score_gradients_kernel<Parts>::differentiate_tile(
        scores, scale, factor, lse, int64_t(row_tile) * block::block_m, int64_t(column_tile) * block::block_n,
        batch, to);
  };
  for_each_score_tile<block>(sides, grid.area(), differentiate);
  if (!entropy_sums) return;
  sum = block_sum(sum, shared_at<float>(0));
  if (thread_index() == 0) entropy_sums[block_index()] = sum;
}

template <int Parts>
int compute_with(const ops::clip_loss_backward::args& a, const score_sides& sides, const score_gradients& to,
                 float* entropy_sums, const context& c) {
  using block = score_block<Parts>;
  const auto grid = score_grid::of(int(to.first_row / block::block_m), blocks_of(to.rows, block::block_m),
                                   blocks_of(a.image.dim(0), block::block_n), c.properties.multiprocessors);
  launch(clip_loss_score_gradients_kernel<Parts>, grid.blocks(), block::threads, block::shared_bytes,
         c.stream, sides, a.logit_scale.as<const float>(), a.dloss.as<const float>(),
         lse_vectors{a.row_log_sum.as<float>(), a.column_log_sum.as<float>()}, grid, to, entropy_sums);
  return grid.blocks();
}

}  // namespace

int compute_score_gradients(const ops::clip_loss_backward::args& a, const score_sides& sides,
                            const score_gradients& to, float* entropy_sums, const context& c) {
  return a.image.type == dtype::f32 ? compute_with<3>(a, sides, to, entropy_sums, c)
                                    : compute_with<1>(a, sides, to, entropy_sums, c);
}

}  // namespace eva::cuda
