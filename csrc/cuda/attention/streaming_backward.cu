#include "cuda/attention/attention.h"
#include "cuda/attention/gradient.cuh"
#include "cuda/attention/schedule.h"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

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

template <int Columns, int Warps, m_rows Rows> struct layout {  // byte offsets in shared memory
  using rows = tile<Columns>;
  static constexpr int block_m = 16 * Warps, block_n = streaming_backward_block_n;
  static constexpr bool m_is_queries = Rows == m_rows::queries;
  static constexpr int operands = m_is_queries ? 1 : 2;  // whose gradients the kernel computes
  static constexpr int qk_m = 0, dov_m = rows::bytes(block_m), n_tiles = 2 * dov_m;
  static constexpr int qk_n = 0, dov_n = rows::bytes(block_n), n_tile_bytes = 2 * dov_n;  // double-buffered
  // Of the queries, in the M tile or in both N tiles.
  static constexpr int statistics = n_tiles + 2 * n_tile_bytes,
                       statistics_rows = m_is_queries ? block_m : block_n;
  static constexpr int lse = 0, delta = 4 * statistics_rows, statistics_bytes = 8 * statistics_rows;
  static constexpr int sums = 0;  // after all rows have been stored
  static constexpr int bytes = std::max(statistics + (m_is_queries ? 1 : 2) * statistics_bytes,
                                        column_sums_bytes(Warps* warp_size, operands));
};

/// One kernel: the functions of a block of Warps warps, each of which owns 16 rows of the M tile.
template <int Columns, int Warps, m_rows Rows> struct streaming_backward {
  using offsets = layout<Columns, Warps, Rows>;
  using rows = tile<Columns>;
  using warp_rows = float[Columns / 8][4];
  static constexpr bool m_is_queries = offsets::m_is_queries;
  static constexpr int block_m = offsets::block_m, block_n = offsets::block_n;

  const arguments& p;
  const head& h;
  rows qk_m = rows::at(offsets::qk_m), dov_m = rows::at(offsets::dov_m);

  __device__ static rows qk_n(int buffer) {
    return rows::at(offsets::n_tiles + buffer * offsets::n_tile_bytes + offsets::qk_n);
  }
  __device__ static rows dov_n(int buffer) {
    return rows::at(offsets::n_tiles + buffer * offsets::n_tile_bytes + offsets::dov_n);
  }
  /// lse and delta of the queries that N tile `buffer` is paired with or holds.
  __device__ static int statistics(int buffer) {
    return offsets::statistics + (m_is_queries ? 0 : buffer * offsets::statistics_bytes);
  }

  __device__ void copy_pair(bool queries, rows qk, rows dov, int begin, int count) const {
    const gradient_arguments& g = p.gradient;
    copy_rows(h, qk, begin, count, h.rows_of(g.qkv, queries ? part::query : part::key));
    copy_rows(h, dov, begin, count, queries ? h.rows_of(g.dout) : h.rows_of(g.qkv, part::value));
  }

  /// lse (base 2) and delta of query begin + thread of the N tile; the first warp has them all.
  __device__ pair load_statistics(int begin) const {
    static_assert(block_n <= warp_size);
    const int token = begin + thread_index();
    if (thread_index() >= block_n || token >= h.tokens) return {INFINITY, 0};
    return {log2_e * p.gradient.lse[h.lse(token)], p.delta[h.lse(token)]};
  }
  __device__ void store_statistics(int buffer, pair of_query) const {
    if (thread_index() >= block_n) return;
    shared_at<float>(statistics(buffer) + offsets::lse).store(thread_index(), of_query.first);
    shared_at<float>(statistics(buffer) + offsets::delta).store(thread_index(), of_query.second);
  }

  /// The probabilities, in `score`, and the gradients of the scores times √D, in `d_probability`, of rows
  /// m … m + 15 (the warp's) and n … n + 15 of N tile `buffer`, from score = qk_m qk_nᵀ and d_probability =
  /// dov_m dov_nᵀ. Row m is token token_m, row n token_n.
  __device__ void score_gradient(int buffer, int m, int token_m, int n, int token_n, float (&score)[2][4],
                                 float (&d_probability)[2][4]) const {
    const rows qk = qk_n(buffer), dov = dov_n(buffer);
#pragma unroll 2
    for (int k = 0; k < Columns / 16; ++k) {
      const fragment a = qk_m.load_a(m, 16 * k), b = qk.load_b(n, 16 * k);
      mma_m16n8k16(score[0], a, b.words[0], b.words[1]);
      mma_m16n8k16(score[1], a, b.words[2], b.words[3]);
      const fragment c = dov_m.load_a(m, 16 * k), d = dov.load_b(n, 16 * k);
      mma_m16n8k16(d_probability[0], c, d.words[0], d.words[1]);
      mma_m16n8k16(d_probability[1], c, d.words[2], d.words[3]);
    }
    const auto lse = shared_at<float>(statistics(buffer) + offsets::lse),
               delta = shared_at<float>(statistics(buffer) + offsets::delta);
    const int g = lane_index() / 4, t = lane_index() % 4;
    const float factor = h.batch.scale * log2_e;
#pragma unroll
    for (int j = 0; j < 2; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int offset_m = g + 8 * (i / 2), offset_n = 8 * j + 2 * t + i % 2;
        const int key = m_is_queries ? token_n + offset_n : token_m + offset_m;
        const int query = m_is_queries ? token_m + offset_m : token_n + offset_n;
        const int query_row = m_is_queries ? m + offset_m : n + offset_n;
        const bool visible = key < h.tokens && (!h.batch.causal || key <= query);
        const float probability = visible ? exp2_fast(score[j][i] * factor - lse.load(query_row)) : 0;
        score[j][i] = probability;
        d_probability[j][i] = probability * (d_probability[j][i] - delta.load(query_row));
      }
  }

  /// Adds the contributions of N tile `buffer`, tokens `first` …, to the gradients of the warp's rows.
  __device__ void add_tile(warp_rows& d_qk, warp_rows& d_v, int buffer, int token, int first) const {
#pragma unroll 1  // interleaved, they would spill
    for (int n = 0; n < block_n; n += 16) {
      const int token_n = first + n;
      const bool is_masked = m_is_queries ? token_n > token + 15 : token_n + 15 < token;
      if (token >= h.tokens || token_n >= h.tokens || (h.batch.causal && is_masked)) continue;
      float score[2][4] = {}, d_probability[2][4] = {};
      score_gradient(buffer, 16 * warp_index(), token, n, token_n, score, d_probability);
      accumulate_product<Columns>(d_qk, pack_operand(d_probability[0], d_probability[1]), qk_n(buffer), n);
      if (!m_is_queries) accumulate_product<Columns>(d_v, pack_operand(score[0], score[1]), dov_n(buffer), n);
    }
  }

  /// What precedes the first N tile: starts the loads of the M tile and of the N tile from `start` on.
  __device__ pair begin_rows(int begin, int start) const {
    block_barrier();  // the rows of the last M tile have been stored
    copy_pair(m_is_queries, qk_m, dov_m, begin, block_m);
    copy_pair(!m_is_queries, qk_n(0), dov_n(0), start, block_n);
    copy_commit();
    pair of_query{};
    if constexpr (m_is_queries) {
      const query_statistics<Columns, block_m, Warps * warp_size> loaded(p.gradient, h, begin);
      copy_wait<0>();
      block_barrier();  // dout has arrived
      // delta is also stored for the kernel of the keys.
      loaded.store(dov_m, statistics(0) + offsets::lse, statistics(0) + offsets::delta,
                   [&](int row, float delta) {
                     if (begin + row < h.tokens) p.delta[h.lse(begin + row)] = delta;
                   });
    } else {
      of_query = load_statistics(start);
      copy_wait<0>();
    }
    apply_rope(h, computed_positions{}, begin, block_m, qk_m);
    return of_query;
  }

  /// The gradients of the M tile of rows begin … begin + BLOCK_M - 1. An N tile is computed while the next
  /// one is copied.
  __device__ void rows_from(int begin, chunk_sums (&sums)[offsets::operands]) const {
    const int row = 16 * warp_index(), token = begin + row;
    warp_rows d_qk = {}, d_v = {};
    // Causal: query i sees keys 0 … i, so key i is seen by queries i and later.
    const int start = !m_is_queries && h.batch.causal ? begin : 0;
    const int end = m_is_queries && h.batch.causal ? min(begin + block_m, h.tokens) : h.tokens;
    pair of_query = begin_rows(begin, start);
    for (int first = start; first < end; first += block_n) {
      const int buffer = (first - start) / block_n % 2, next = first + block_n;
      copy_wait<0>();
      apply_rope(h, computed_positions{}, first, block_n, qk_n(buffer));
      if (!m_is_queries) store_statistics(buffer, of_query);
      block_barrier();  // this tile has arrived, and all reads of the other buffer are done
      if (next < end) {
        copy_pair(!m_is_queries, qk_n(1 - buffer), dov_n(1 - buffer), next, block_n);
        copy_commit();
        if (!m_is_queries) of_query = load_statistics(next);
      }
      add_tile(d_qk, d_v, buffer, token, first);
    }
    if (token >= h.tokens) return;
    // Only this warp reads its rows of the M tile.
    if (!m_is_queries)
      store_gradient(h, h.rows_of(p.gradient.dqkv, part::value), token, qk_m, row, d_v,
                     sums[offsets::operands - 1]);
    multiply_by(d_qk, h.batch.scale);
    apply_inverse_rope(h, computed_positions{}, d_qk, token, 0);
    store_gradient(h, h.rows_of(p.gradient.dqkv, m_is_queries ? part::query : part::key), token, qk_m, row,
                   d_qk, sums[0]);
  }
};

// Expected bound: tensor cores (mma.sync), 10 N² D FLOP per head in both kernels, at the rate that ldmatrix
// feeds them from shared memory. Blocks per SM: see streaming_backward_blocks.
template <int Columns, int Warps, m_rows Rows>
__global__ void __launch_bounds__(Warps* warp_size, streaming_backward_blocks(Columns))
    attention_backward_streaming_kernel(arguments p) {
  using offsets = layout<Columns, Warps, Rows>;
  const int groups = p.gradient.batch.heads / p.heads_per_block;
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  for (int i = 0; i < p.heads_per_block; ++i) {
    const head h(p.gradient.batch, item / groups, item % groups * p.heads_per_block + i);
    if (h.tokens < p.shortest) return;
    const streaming_backward<Columns, Warps, Rows> block{p, h};
    const int begin = split * offsets::block_m;
    // Once for an empty sequence, too, whose sums are zero.
    for (int row = begin; row < max(h.tokens, begin + 1); row += p.splits * offsets::block_m) {
      chunk_sums sums[offsets::operands];
      if (row < h.tokens) block.rows_from(row, sums);
      store_column_sums<Columns>(p.gradient, h, h.sequence * p.splits + split,
                                 offsets::m_is_queries ? part::query : part::key, offsets::sums, sums,
                                 row > begin);
    }
  }
}

template <int Columns, int Warps> void start(arguments p, context& c) {
  const attention_batch& b = p.gradient.batch;
  p.splits = streaming_backward_splits(b);
  const int blocks = b.sequences * (b.heads / p.heads_per_block) * p.splits;
  launch(attention_backward_streaming_kernel<Columns, Warps, m_rows::queries>, blocks, Warps * warp_size,
         layout<Columns, Warps, m_rows::queries>::bytes, c.stream, p);
  launch(attention_backward_streaming_kernel<Columns, Warps, m_rows::keys>, blocks, Warps * warp_size,
         layout<Columns, Warps, m_rows::keys>::bytes, c.stream, p);
}

}  // namespace

int streaming_backward_splits(const attention_batch& b) {
  constexpr int block_m = 16 * streaming_backward_warps;
  // The lengths of a packed batch are known only on the device.
  return b.starts ? 1 : std::max(1, (b.tokens + block_m - 1) / block_m);
}

void attention_backward_streaming(const gradient_arguments& gradient, float* delta, int shortest,
                                  context& c) {
  const attention_batch& batch = gradient.batch;
  // If most sequences of a packed batch are skipped, one block per sequence keeps the grid small.
  const arguments p{gradient, delta, 1, shortest > 0 ? batch.heads : 1, shortest};
  for_streaming_columns(
      batch.head_dim, [&](auto columns) { start<decltype(columns)::value, streaming_backward_warps>(p, c); });
}

}  // namespace eva::cuda
