#include "cuda/attention/attention.h"
#include "cuda/attention/plain.cuh"
#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/element_type.h"

namespace eva::cuda {
namespace {

using namespace device;
using namespace plain;

template <class T> struct arguments {
  attention_batch batch;
  const T *dout, *qkv, *out;  // [rows, H, D], [rows, 3, H, D], [rows, H, D]
  const float* lse;           // [rows, H]
  float* delta;               // [rows, H], dout · out
  T* dqkv;                    // [rows, 3, H, D]
  float* sums;                // [B, splits, 3, H, D], partial column sums of dqkv; null if not wanted
  int splits;
};

/// The rows of a block's M tile: queries, to compute dq, or keys, to compute dk and dv. The N tiles are the
/// other ones. `qk` names the operand of the scores (q of queries, k of keys), `dov` that of dp = dout vᵀ
/// (dout of queries, v of keys).
enum class m_rows { queries, keys };

template <class T>
__device__ void load_pair(const arguments<T>& p, const head& h, bool queries, matrix qk, matrix dov,
                          int begin, int count) {
  load_rows(h, qk, begin, count, h.rows_of(p.qkv, queries ? part::query : part::key), true);
  load_rows(h, dov, begin, count, queries ? h.rows_of(p.dout) : h.rows_of(p.qkv, part::value), false);
}

/// delta = dout · out of every query (Dao et al. 2022, appendix B.2): one warp per query.
template <class T> __global__ void attention_delta_kernel(arguments<T> p) {
  const attention_batch& b = p.batch;
  const int64_t count = int64_t(b.rows) * b.heads, stride = int64_t(grid_blocks()) * warps;
  for (int64_t i = int64_t(block_index()) * warps + warp_index(); i < count; i += stride) {
    float sum = 0;
    for (int d = lane_index(); d < b.head_dim; d += warp_size)
      sum += to_float(p.dout[i * b.head_dim + d]) * to_float(p.out[i * b.head_dim + d]);
    sum = warp_sum(sum);
    if (lane_index() == 0) p.delta[i] = sum;
  }
}

/// Turns the dot products of (row token_m + r, the lane's row token_n) into the probabilities and the
/// gradients of the scores.
template <class T, m_rows Rows>
__device__ void score_gradient(const arguments<T>& p, const head& h, int token_m, int token_n,
                               float (&score)[warp_rows], float (&d_probability)[warp_rows]) {
#pragma unroll
  for (int r = 0; r < warp_rows; ++r) {
    const int query = Rows == m_rows::queries ? token_m + r : token_n;
    const int key = Rows == m_rows::queries ? token_n : token_m + r;
    const bool visible = query < h.tokens && key < h.tokens && (!h.batch.causal || key <= query);
    const size_t at = h.lse(visible ? query : 0);
    const float probability =
        visible ? exp2_fast(score[r] * (h.batch.scale * log2_e) - p.lse[at] * log2_e) : 0;
    score[r] = probability;
    d_probability[r] = probability * (d_probability[r] - p.delta[at]) * h.batch.scale;
  }
}

/// Stores the gradients of the warp's rows, those of queries and keys with the inverse RoPE, and adds them to
/// the lane's column sums.
template <class T, int LaneColumns>
__device__ void store_rows(const arguments<T>& p, const head& h, part which, int token,
                           const float (&gradient)[warp_rows][LaneColumns], float (&sums)[LaneColumns]) {
  const auto to = h.rows_of(p.dqkv, which);
#pragma unroll
  for (int r = 0; r < warp_rows; ++r)
#pragma unroll
    for (int s = 0; s < LaneColumns; ++s) {
      const int column = lane_index() + warp_size * s;
      const float partner = shuffle_xor(gradient[r][s], 1);
      if (token + r >= h.tokens || column >= h.batch.head_dim) continue;
      float x = gradient[r][s];
      if (which != part::value && has_rope(h, token + r)) {
        const float* angle = token_angles(h, grid_position(h, token + r)).at(column & ~1);
        x = x * angle[0] + (column % 2 ? -partner : partner) * angle[1];
      }
      const T rounded = from_float<T>(x);
      to.row(token + r)[column] = rounded;
      sums[s] += to_float(rounded);
    }
}

/// Adds the lanes' column sums up over the warps, in a fixed order, in row `partial` of p.sums.
template <class T, int LaneColumns>
__device__ void store_column_sums(const arguments<T>& p, const head& h, part which, int partial,
                                  const float (&sums)[LaneColumns]) {
  if (!p.sums) return;
  const auto shared = shared_at<float>(0);  // [warps, D]
  const int head_dim = h.batch.head_dim;
  block_barrier();
#pragma unroll
  for (int s = 0; s < LaneColumns; ++s)
    if (const int column = lane_index() + warp_size * s; column < head_dim)
      shared.store(warp_index() * head_dim + column, sums[s]);
  block_barrier();
  for (int column = thread_index(); column < head_dim; column += block_threads()) {
    float total = 0;
    for (int warp = 0; warp < warps; ++warp) total += shared.load(warp * head_dim + column);
    p.sums[((size_t(partial) * 3 + size_t(which)) * size_t(h.batch.heads) + size_t(h.index)) *
               size_t(head_dim) +
           size_t(column)] = total;
  }
}

// A minimum of one block per SM: a larger one would make the compiler spill to save registers.
// Expected bound: shared-memory loads, 5 per 4 FMAs of the dot products.
template <class T, int LaneColumns, m_rows Rows>
__global__ void __launch_bounds__(warps* warp_size, 1) attention_backward_plain_kernel(arguments<T> p) {
  constexpr bool m_is_queries = Rows == m_rows::queries;
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  const int head_dim = h.batch.head_dim, pitch = pitch_of(head_dim), m_bytes = bytes_of(block_m, head_dim);
  const matrix qk_m{shared_at<float>(0), pitch}, dov_m{shared_at<float>(m_bytes), pitch},
      qk_n{shared_at<float>(2 * m_bytes), pitch},
      dov_n{shared_at<float>(2 * m_bytes + bytes_of(block_n, head_dim)), pitch};
  const int row = warp_rows * warp_index();
  float qk_sums[LaneColumns] = {}, v_sums[LaneColumns] = {};
  for (int begin = split * block_m; begin < h.tokens; begin += p.splits * block_m) {
    float d_qk[warp_rows][LaneColumns] = {}, d_v[warp_rows][LaneColumns] = {};
    const int start = !m_is_queries && h.batch.causal ? begin : 0;
    const int end = m_is_queries && h.batch.causal ? min(begin + block_m, h.tokens) : h.tokens;
    for (int first = start; first < end; first += block_n) {
      block_barrier();
      if (first == start) load_pair(p, h, m_is_queries, qk_m, dov_m, begin, block_m);
      load_pair(p, h, !m_is_queries, qk_n, dov_n, first, block_n);
      block_barrier();
      float score[warp_rows] = {}, d_probability[warp_rows] = {};
      multiply(score, qk_m, row, qk_n, head_dim);
      multiply(d_probability, dov_m, row, dov_n, head_dim);
      score_gradient<T, Rows>(p, h, begin + row, first + lane_index(), score, d_probability);
      accumulate<LaneColumns>(d_qk, d_probability, qk_n, head_dim);
      if (!m_is_queries) accumulate<LaneColumns>(d_v, score, dov_n, head_dim);
    }
    store_rows(p, h, m_is_queries ? part::query : part::key, begin + row, d_qk, qk_sums);
    if (!m_is_queries) store_rows(p, h, part::value, begin + row, d_v, v_sums);
  }
  const int partial = h.sequence * p.splits + split;
  store_column_sums(p, h, m_is_queries ? part::query : part::key, partial, qk_sums);
  if (!m_is_queries) store_column_sums(p, h, part::value, partial, v_sums);
}

template <class T, int LaneColumns> void start(const arguments<T>& p, context& c) {
  const attention_batch& b = p.batch;
  const int threads = warps * warp_size, blocks = b.sequences * b.heads * p.splits;
  const int shared_bytes = bytes_of(2 * block_m + 2 * block_n, b.head_dim);
  const int64_t rows = int64_t(b.rows) * b.heads;
  launch(attention_delta_kernel<T>,
         int(std::min<int64_t>((rows + warps - 1) / warps, 32 * c.properties.multiprocessors)), threads, 0,
         c.stream, p);
  launch(attention_backward_plain_kernel<T, LaneColumns, m_rows::queries>, blocks, threads, shared_bytes,
         c.stream, p);
  launch(attention_backward_plain_kernel<T, LaneColumns, m_rows::keys>, blocks, threads, shared_bytes,
         c.stream, p);
}

}  // namespace

void attention_backward_plain(const ops::attention_backward::args& a, context& c) {
  for_element_type(a.qkv.type, [&]<class T>(T*) {
    const attention_batch batch(a);
    const int splits = splits_of(batch);
    const int64_t partials = a.dqkv_sums.data ? int64_t(batch.sequences) * splits : 0;
    const int64_t statistics = int64_t(batch.rows) * batch.heads, columns = a.qkv.columns();
    float* delta = c.scratch.take<float>(statistics + partials * columns);
    const arguments<T> p{batch,
                         a.dout.as<const T>(),
                         a.qkv.as<const T>(),
                         a.out.as<const T>(),
                         a.log_sum.as<const float>(),
                         delta,
                         a.dqkv.as<T>(),
                         partials > 0 ? delta + statistics : nullptr,
                         splits};
    for_lane_columns(batch.head_dim,
                     [&](auto lane_columns) { start<T, decltype(lane_columns)::value>(p, c); });
    add_up_columns(p.sums, partials, columns, a.dqkv_sums.as<float>(), c);
  });
}

}  // namespace eva::cuda
