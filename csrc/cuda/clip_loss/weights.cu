#include "cuda/clip_loss/probability.cuh"
#include "cuda/clip_loss/score_tile.cuh"
#include "cuda/clip_loss/weights.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {
namespace {

using namespace device;

/// Below every logit: 2^lowest is zero, and so is its product with it.
constexpr float lowest = -1e30f;

struct log_sums {
  const float *row, *column;  // [B]
};

template <int Parts> struct weights_kernel {
  using block = score_block<Parts>;
  static constexpr int weight_parts = Parts == 1 ? 1 : 2;

  // Two neighbouring column tiles' weights of a row, two columns each: even lanes take the left tile's, odd
  // ones the right tile's, four columns each, so that a quad of lanes writes 32 bytes together.
  static __device__ void store_row(const float (&left)[2], const float (&right)[2], bf16* row, int64_t column,
                                   bool inside) {
    const bool is_odd = lane_index() % 2 == 1;
    const uint32_t of_left = pack_bf16(left[0], left[1]), of_right = pack_bf16(right[0], right[1]);
    const uint32_t others = shuffle_xor(is_odd ? of_left : of_right, 1);
    if (!inside) return;
    const bf16_quad four{{is_odd ? others : of_left, is_odd ? of_right : others}};
    *reinterpret_cast<bf16_quad*>(row + column) = four;
  }

  // What two bf16 leave of two values.
  static __device__ void subtract_rounded(float (&x)[2]) {
    for (float& value : x) value -= to_float(to_bf16(value));
  }

  // The weights of one row in two neighbouring column tiles; returns their sum of P log2 P + Q log2 Q.
  static __device__ float weigh(const float (&left)[2], const float (&right)[2], float scale, float row_log,
                                const float (&column_logs)[4], float factor, float (&weights)[2][2]) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float score = (i < 2 ? left[i % 2] : right[i % 2]) * scale;
      const float log_p = score - row_log, log_q = score - column_logs[i];
      const float p = exp2_fast(log_p), q = exp2_fast(log_q);
      sum += p * log_p + q * log_q;
      weights[i / 2][i % 2] = (p + q) * factor;
    }
    return sum;
  }

  // The weights of a tile; returns the lane's part of its sum.
  static __device__ float weigh_tile(const typename block::sums& s, float scale, float factor, log_sums logs,
                                     int64_t top, int64_t left, int64_t batch, const score_weights& to) {
    float sum = 0;
    const int shift = lane_index() % 2 == 1 ? 6 : 0;
#pragma unroll
    for (int n = 0; n < block::column_tiles; n += 2) {
      float column_logs[4];
      for (int i = 0; i < 4; ++i)
        column_logs[i] = log2_e * logs.column[min(left + block::column_of(n + i / 2, i % 2), batch - 1)];
      const int64_t column = left + block::column_of(n, 0) + shift;
#pragma unroll
      for (int m = 0; m < block::row_tiles; ++m)
#pragma unroll
        for (int e = 0; e < 4; e += 2) {
          const int64_t row = top + block::row_of(m, e);
          const float one[2] = {s[m][n][e], s[m][n][e + 1]}, next[2] = {s[m][n + 1][e], s[m][n + 1][e + 1]};
          float weights[2][2];
          sum +=
              weigh(one, next, scale, log2_e * logs.row[min(row, batch - 1)], column_logs, factor, weights);
          if (!to.parts) continue;
          bf16* line = to.parts + (row - to.first_row) * to.stride;
          const bool inside = row < batch && column < batch;
          store_row(weights[0], weights[1], line, column, inside);
          if constexpr (weight_parts == 1) continue;
          subtract_rounded(weights[0]);
          subtract_rounded(weights[1]);
          store_row(weights[0], weights[1], line + to.part_stride, column, inside);
        }
    }
    return sum;
  }
};

template <int Parts>
__global__ void __launch_bounds__(score_block<Parts>::threads)
    clip_loss_weights_kernel(score_sides sides, const float* logit_scale, const float* dloss, log_sums logs,
                             score_grid grid, score_weights to, float* entropy_sums) {
  using block = score_block<Parts>;
  const int64_t batch = sides.image.batch;
  const float exponential = expf(*logit_scale), scale = exponential * log2_e;
  const float factor = exponential * *dloss / (2.0f * float(batch));
  float sum = 0;
  for_each_score_tile<block>(
      sides, grid.area(), [&](typename block::sums& scores, int strip, int tile_index, int) {
        block::for_odd_tile(scores, strip, tile_index, batch, [&](float& score, int64_t row, int64_t column) {
          if (row == column || row >= batch || column >= batch) score = lowest;
        });
        sum += weights_kernel<Parts>::weigh_tile(scores, scale, factor, logs, int64_t(strip) * block::rows,
                                                 int64_t(tile_index) * block::columns, batch, to);
      });
  if (!entropy_sums) return;
  sum = block_sum(sum, shared_at<float>(0));
  if (thread_index() == 0) entropy_sums[block_index()] = sum;
}

template <int Parts>
int weigh_in(const ops::clip_loss_backward::args& a, const score_sides& sides, const score_weights& to,
             float* entropy_sums, const context& c) {
  using block = score_block<Parts>;
  const auto grid = score_grid::of(int(to.first_row / block::rows), blocks_of(to.rows, block::rows),
                                   blocks_of(a.image.dim(0), block::columns), c.properties.multiprocessors);
  launch(clip_loss_weights_kernel<Parts>, grid.blocks(), block::threads, block::shared_bytes, c.stream, sides,
         a.logit_scale.as<const float>(), a.dloss.as<const float>(),
         log_sums{a.row_log_sum.as<float>(), a.column_log_sum.as<float>()}, grid, to, entropy_sums);
  return grid.blocks();
}

}  // namespace

int weigh_scores(const ops::clip_loss_backward::args& a, const score_sides& sides, const score_weights& to,
                 float* entropy_sums, const context& c) {
  return a.image.type == dtype::f32 ? weigh_in<3>(a, sides, to, entropy_sums, c)
                                    : weigh_in<1>(a, sides, to, entropy_sums, c);
}

}  // namespace eva::cuda
