#include "cuda/attention/attention.h"
#include "cuda/attention/gradient.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int warps = 4, block_m = 16 * warps, block_n = 32;

struct arguments {
  gradient_arguments gradient;
  float* delta;         // [rows, H]: dout · out
  int splits;           // blocks per head, which share its tiles of BLOCK_M rows
  int heads_per_block;  // processed one after another
  int shortest;         // sequences of fewer tokens are skipped
};

/// The rows of a block's M tile: queries, to compute dq, or keys, to compute dk and dv. The N tiles, over
/// which it loops, are the other ones. `qk` names the operand of the scores (q of queries, k of keys), `dov`
/// that of dp = dout vᵀ (dout of queries, v of keys).
enum class m_rows { queries, keys };

template <int Columns> struct layout {  // byte offsets in shared memory
  using rows = tile<Columns>;
  static constexpr int qk_m = 0, dov_m = rows::bytes(block_m), qk_n = 2 * dov_m;
  static constexpr int dov_n = qk_n + rows::bytes(block_n);
  // Of the queries, in the M or the N tile.
  static constexpr int lse = dov_n + rows::bytes(block_n), delta = lse + 4 * block_m;
  static constexpr int bytes = delta + 4 * block_m;
};

template <int Columns>
__device__ void copy_pair(const gradient_arguments& p, const head& h, bool queries, tile<Columns> qk,
                          tile<Columns> dov, int begin, int count) {
  if (queries) {
    copy_rows(h, qk, begin, count, p.qkv, [&](int token) { return h.qkv(token, part::query); });
    copy_rows(h, dov, begin, count, p.dout, [&](int token) { return h.output(token); });
  } else {
    copy_rows(h, qk, begin, count, p.qkv, [&](int token) { return h.qkv(token, part::key); });
    copy_rows(h, dov, begin, count, p.qkv, [&](int token) { return h.qkv(token, part::value); });
  }
}

/// The probabilities, in `score`, and the gradients of the scores, in `d_probability`, of rows m … m + 15
/// (the warp's) and n … n + 15, from score = qk_m qk_nᵀ and d_probability = dov_m dov_nᵀ. Both accumulators
/// must be zero; row m is token token_m, row n token_n.
template <int Columns, m_rows Rows>
__device__ void score_gradient(const head& h, int m, int token_m, int n, int token_n, float (&score)[2][4],
                               float (&d_probability)[2][4]) {
  using offsets = layout<Columns>;
  using rows = tile<Columns>;
  const rows qk_m = rows::at(offsets::qk_m), dov_m = rows::at(offsets::dov_m), qk_n = rows::at(offsets::qk_n),
             dov_n = rows::at(offsets::dov_n);
  const auto lse = shared_at<float>(offsets::lse), delta = shared_at<float>(offsets::delta);
#pragma unroll 2
  for (int k = 0; k < Columns / 16; ++k) {
    const fragment a = qk_m.load_a(m, 16 * k), b = qk_n.load_b(n, 16 * k);
    mma_m16n8k16(score[0], a, b.words[0], b.words[1]);
    mma_m16n8k16(score[1], a, b.words[2], b.words[3]);
    const fragment c = dov_m.load_a(m, 16 * k), d = dov_n.load_b(n, 16 * k);
    mma_m16n8k16(d_probability[0], c, d.words[0], d.words[1]);
    mma_m16n8k16(d_probability[1], c, d.words[2], d.words[3]);
  }
  const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (int j = 0; j < 2; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int offset_m = g + 8 * (i / 2), offset_n = 8 * j + 2 * t + i % 2;
      const int key = Rows == m_rows::keys ? token_m + offset_m : token_n + offset_n;
      const int query = Rows == m_rows::keys ? token_n + offset_n : token_m + offset_m;
      const int query_row = Rows == m_rows::keys ? n + offset_n : m + offset_m;
      const bool visible = key < h.tokens && (!h.batch.causal || key <= query);
      const float probability =
          visible ? exp2_fast(score[j][i] * (h.batch.scale * log2_e) - lse.load(query_row)) : 0;
      score[j][i] = probability;
      d_probability[j][i] = probability * (d_probability[j][i] - delta.load(query_row)) * h.batch.scale;
    }
}

/// lse and delta of the M tile's queries; delta is also stored for the kernel of the keys.
template <int Columns> __device__ void compute_statistics(const arguments& p, const head& h, int begin) {
  using offsets = layout<Columns>;
  const auto lse = shared_at<float>(offsets::lse), delta = shared_at<float>(offsets::delta);
  const auto d_output = tile<Columns>::at(offsets::dov_m);
  block_barrier();  // dout has arrived
  for (int first = 0; first < block_m; first += block_threads() / 4) {
    const int row = first + thread_index() / 4, token = begin + row;
    const float sum = delta_of(p.gradient, h, d_output, row, token);
    if (thread_index() % 4 != 0) continue;
    delta.store(row, sum);
    lse.store(row, lse_of(p.gradient, h, token));
    if (token < h.tokens) p.delta[h.lse(token)] = sum;
  }
}

/// lse and delta of the N tile's queries.
template <int Columns> __device__ void load_statistics(const arguments& p, const head& h, int begin) {
  using offsets = layout<Columns>;
  const int row = thread_index(), token = begin + row;
  if (row >= block_n) return;
  shared_at<float>(offsets::lse).store(row, lse_of(p.gradient, h, token));
  shared_at<float>(offsets::delta).store(row, token < h.tokens ? p.delta[h.lse(token)] : 0);
}

/// The gradients of the M tile of rows begin … begin + BLOCK_M - 1.
template <int Columns, m_rows Rows>
__device__ void backward_rows(const arguments& p, const head& h, int begin) {
  using offsets = layout<Columns>;
  using rows = tile<Columns>;
  constexpr bool m_is_queries = Rows == m_rows::queries;
  const rows qk_m = rows::at(offsets::qk_m), dov_m = rows::at(offsets::dov_m), qk_n = rows::at(offsets::qk_n),
             dov_n = rows::at(offsets::dov_n);
  const int row = 16 * warp_index(), token = begin + row;
  float d_qk[Columns / 8][4] = {}, d_v[Columns / 8][4] = {};
  // Causal: query i sees keys 0 … i, so key i is seen by queries i and later.
  const int start = !m_is_queries && h.batch.causal ? begin : 0;
  const int end = m_is_queries && h.batch.causal ? min(begin + block_m, h.tokens) : h.tokens;
  for (int first = start; first < end; first += block_n) {
    block_barrier();  // the rows of the last N tile have been read
    if (first == start) copy_pair(p.gradient, h, m_is_queries, qk_m, dov_m, begin, block_m);
    copy_pair(p.gradient, h, !m_is_queries, qk_n, dov_n, first, block_n);
    copy_commit();
    copy_wait<0>();
    if (first == start) apply_rope(h, qk_m, begin, block_m);
    apply_rope(h, qk_n, first, block_n);
    if (!m_is_queries) load_statistics<Columns>(p, h, first);
    if (m_is_queries && first == start) compute_statistics<Columns>(p, h, begin);
    block_barrier();
#pragma unroll
    for (int n = 0; n < block_n; n += 16) {
      const int token_n = first + n;
      const bool is_masked = m_is_queries ? token_n > token + 15 : token_n + 15 < token;
      if (token >= h.tokens || token_n >= h.tokens || (h.batch.causal && is_masked)) continue;
      float score[2][4] = {}, d_probability[2][4] = {};
      score_gradient<Columns, Rows>(h, row, token, n, token_n, score, d_probability);
      accumulate_product<Columns>(d_qk, pack_operand(d_probability[0], d_probability[1]), qk_n, n);
      if (!m_is_queries) accumulate_product<Columns>(d_v, pack_operand(score[0], score[1]), dov_n, n);
    }
  }
#pragma unroll
  for (int n = 0; n < Columns / 8; ++n) {
    store_gradient(p.gradient, h, m_is_queries ? part::query : part::key, token, 8 * n, d_qk[n]);
    if (!m_is_queries) store_gradient(p.gradient, h, part::value, token, 8 * n, d_v[n]);
  }
}

// Expected bound: load latency; the tiles are single-buffered. The launch bounds ask for as many blocks per
// SM as the compiler can fit without spilling: on sm_90a, 4, 3, 2, 2 (D 64, 96, 112, 128).
template <int Columns, m_rows Rows>
__global__ void __launch_bounds__(warps* warp_size, Columns > 96   ? 2
                                                    : Columns > 64 ? 3
                                                                   : 0)
    attention_backward_streaming_kernel(arguments p) {
  const int groups = p.gradient.batch.heads / p.heads_per_block;
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  for (int i = 0; i < p.heads_per_block; ++i) {
    const head h(p.gradient.batch, item / groups, item % groups * p.heads_per_block + i);
    if (h.tokens < p.shortest) return;
    for (int begin = split * block_m; begin < h.tokens; begin += p.splits * block_m)
      backward_rows<Columns, Rows>(p, h, begin);
  }
}

template <int Columns> void start(const arguments& p, context& c) {
  const attention_batch& b = p.gradient.batch;
  const int blocks = b.sequences * (b.heads / p.heads_per_block) * p.splits;
  launch(attention_backward_streaming_kernel<Columns, m_rows::queries>, blocks, warps * warp_size,
         layout<Columns>::bytes, c.stream, p);
  launch(attention_backward_streaming_kernel<Columns, m_rows::keys>, blocks, warps * warp_size,
         layout<Columns>::bytes, c.stream, p);
}

}  // namespace

void attention_backward_streaming(const ops::attention_backward::args& a, int shortest, context& c) {
  const gradient_arguments gradient = gradient_arguments_of(a);
  const attention_batch& batch = gradient.batch;
  // The lengths of a packed batch are known only on the device. If most of its sequences are skipped, one
  // block per sequence keeps the grid small.
  const int splits = batch.starts ? 1 : std::max(1, (batch.tokens + block_m - 1) / block_m);
  const int heads_per_block = shortest > 0 ? batch.heads : 1;
  float* delta = c.scratch.take<float>(int64_t(batch.rows) * batch.heads);
  const arguments p{gradient, delta, splits, heads_per_block, shortest};
  if (batch.head_dim <= 64) return start<64>(p, c);
  if (batch.head_dim <= 96) return start<96>(p, c);
  if (batch.head_dim <= 112) return start<112>(p, c);
  start<128>(p, c);
}

}  // namespace eva::cuda
