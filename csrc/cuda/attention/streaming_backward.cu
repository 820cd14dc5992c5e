#include "cuda/attention/attention.h"
#include "cuda/attention/gradient.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int warps = 4, own_rows = 16 * warps, other_rows = 32;

struct arguments {
  gradient_arguments gradient;
  float* delta;         // [rows, H], dout · out
  int splits;           // blocks that share a head's tiles of 64 rows
  int heads_per_block;  // taken one after another
  int shortest;         // sequences of fewer tokens are somebody else's
};

/// A block owns 64 rows: queries, with their dq, or keys, with their dk and dv. The others pass by.
enum class owner { queries, keys };

template <int Columns> struct layout {  // of shared memory, in bytes
  using rows = tile<Columns>;
  // Of queries "first" is q and "second" dout; of keys they are k and v.
  static constexpr int own_first = 0, own_second = rows::bytes(own_rows), other_first = 2 * own_second;
  static constexpr int other_second = other_first + rows::bytes(other_rows);
  // Of the queries among them.
  static constexpr int log_sum = other_second + rows::bytes(other_rows), delta = log_sum + 4 * own_rows;
  static constexpr int bytes = delta + 4 * own_rows;
};

template <int Columns>
__device__ void copy_pair(const gradient_arguments& p, const head& h, bool queries, tile<Columns> first,
                          tile<Columns> second, int begin, int count) {
  if (queries) {
    copy_rows(h, first, begin, count, p.qkv, [&](int token) { return h.qkv(token, part::query); });
    copy_rows(h, second, begin, count, p.dout, [&](int token) { return h.output(token); });
  } else {
    copy_rows(h, first, begin, count, p.qkv, [&](int token) { return h.qkv(token, part::key); });
    copy_rows(h, second, begin, count, p.qkv, [&](int token) { return h.qkv(token, part::value); });
  }
}

/// score = own_first · other_firstᵀ and d_probability = own_second · other_secondᵀ for the warp's 16 rows and
/// 16 others from `other` on become the probabilities and the scores' gradients. Tokens are the first ones.
template <int Columns, owner Owner>
__device__ void gradient_of_scores(const head& h, int row, int own_token, int other, int other_token,
                                   float (&score)[2][4], float (&d_probability)[2][4]) {
  using place = layout<Columns>;
  using rows = tile<Columns>;
  const rows own_first = rows::at(place::own_first), own_second = rows::at(place::own_second),
             other_first = rows::at(place::other_first), other_second = rows::at(place::other_second);
  const auto log_sum = shared_at<float>(place::log_sum), delta = shared_at<float>(place::delta);
#pragma unroll 2
  for (int k = 0; k < Columns / 16; ++k) {
    const matrices a = own_first.load_a(row, 16 * k), b = other_first.load_b(other, 16 * k);
    multiply_add(score[0], a, b.words[0], b.words[1]);
    multiply_add(score[1], a, b.words[2], b.words[3]);
    const matrices c = own_second.load_a(row, 16 * k), d = other_second.load_b(other, 16 * k);
    multiply_add(d_probability[0], c, d.words[0], d.words[1]);
    multiply_add(d_probability[1], c, d.words[2], d.words[3]);
  }
  const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int own_offset = g + 8 * (i / 2), other_offset = 8 * n + 2 * t + i % 2;
      const int from_own = own_token + own_offset, from_other = other_token + other_offset;
      const int key = Owner == owner::keys ? from_own : from_other;
      const int query = Owner == owner::keys ? from_other : from_own;
      const int at =
          Owner == owner::keys ? other + other_offset : row + own_offset;  // the query's statistics
      const bool seen = key < h.tokens && (!h.batch.causal || key <= query);
      const float probability =
          seen ? exp2_fast(score[n][i] * (h.batch.scale * log2_e) - log_sum.load(at)) : 0;
      score[n][i] = probability;
      d_probability[n][i] = probability * (d_probability[n][i] - delta.load(at)) * h.batch.scale;
    }
}

/// The statistics of own queries, whose delta is kept for the other kernel.
template <int Columns> __device__ void own_statistics(const arguments& p, const head& h, int begin) {
  using place = layout<Columns>;
  const auto log_sum = shared_at<float>(place::log_sum), delta = shared_at<float>(place::delta);
  const auto d_output = tile<Columns>::at(place::own_second);
  block_barrier();  // dout has landed
  for (int first = 0; first < own_rows; first += block_threads() / 4) {
    const int row = first + thread_index() / 4, token = begin + row;
    const float sum = delta_of(p.gradient, h, d_output, row, token);
    if (thread_index() % 4 != 0) continue;
    delta.store(row, sum);
    log_sum.store(row, log_sum_of(p.gradient, h, token));
    if (token < h.tokens) p.delta[h.log_sum(token)] = sum;
  }
}

template <int Columns> __device__ void other_statistics(const arguments& p, const head& h, int begin) {
  using place = layout<Columns>;
  const int row = thread_index(), token = begin + row;
  if (row >= other_rows) return;
  shared_at<float>(place::log_sum).store(row, log_sum_of(p.gradient, h, token));
  shared_at<float>(place::delta).store(row, token < h.tokens ? p.delta[h.log_sum(token)] : 0);
}

/// The gradients of the rows from `begin` on.
template <int Columns, owner Owner>
__device__ void differentiate_rows(const arguments& p, const head& h, int begin) {
  using place = layout<Columns>;
  using rows = tile<Columns>;
  constexpr bool own_queries = Owner == owner::queries;
  const rows own_first = rows::at(place::own_first), own_second = rows::at(place::own_second),
             other_first = rows::at(place::other_first), other_second = rows::at(place::other_second);
  const int row = 16 * warp_index(), token = begin + row;
  float d_first[Columns / 8][4] = {}, d_second[Columns / 8][4] = {};
  // Of a causal head, queries see the keys up to themselves and keys the queries from themselves on.
  const int start = !own_queries && h.batch.causal ? begin : 0;
  const int end = own_queries && h.batch.causal ? min(begin + own_rows, h.tokens) : h.tokens;
  for (int first = start; first < end; first += other_rows) {
    block_barrier();  // the rows of the last round have been read
    if (first == start) copy_pair(p.gradient, h, own_queries, own_first, own_second, begin, own_rows);
    copy_pair(p.gradient, h, !own_queries, other_first, other_second, first, other_rows);
    copy_commit();
    copy_wait<0>();
    if (first == start) rotate_rows(h, own_first, begin, own_rows);
    rotate_rows(h, other_first, first, other_rows);
    if (!own_queries) other_statistics<Columns>(p, h, first);
    if (own_queries && first == start) own_statistics<Columns>(p, h, begin);
    block_barrier();
#pragma unroll
    for (int other = 0; other < other_rows; other += 16) {
      const int other_token = first + other;
      const bool causal_gap = own_queries ? other_token > token + 15 : other_token + 15 < token;
      if (token >= h.tokens || other_token >= h.tokens || (h.batch.causal && causal_gap)) continue;
      float score[2][4] = {}, d_probability[2][4] = {};
      gradient_of_scores<Columns, Owner>(h, row, token, other, other_token, score, d_probability);
      add_product<Columns>(d_first, pack_operand(d_probability[0], d_probability[1]), other_first, other);
      if (!own_queries) add_product<Columns>(d_second, pack_operand(score[0], score[1]), other_second, other);
    }
  }
#pragma unroll
  for (int n = 0; n < Columns / 8; ++n) {
    store_gradient(p.gradient, h, own_queries ? part::query : part::key, token, 8 * n, d_first[n]);
    if (!own_queries) store_gradient(p.gradient, h, part::value, token, 8 * n, d_second[n]);
  }
}

// Blocks a multiprocessor that the compiler can make room for without spilling.
template <int Columns, owner Owner>
__global__ void __launch_bounds__(warps* warp_lanes, Columns > 96   ? 2
                                                     : Columns > 64 ? 3
                                                                    : 0)
    attention_backward_streaming_kernel(arguments p) {
  const int groups = p.gradient.batch.heads / p.heads_per_block;
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  for (int i = 0; i < p.heads_per_block; ++i) {
    const head h(p.gradient.batch, item / groups, item % groups * p.heads_per_block + i);
    if (h.tokens < p.shortest) return;
    for (int begin = split * own_rows; begin < h.tokens; begin += p.splits * own_rows)
      differentiate_rows<Columns, Owner>(p, h, begin);
  }
}

template <int Columns> void start(const arguments& p, context& c) {
  const attention_batch& b = p.gradient.batch;
  const int blocks = b.sequences * (b.heads / p.heads_per_block) * p.splits;
  launch(attention_backward_streaming_kernel<Columns, owner::queries>, blocks, warps * warp_lanes,
         layout<Columns>::bytes, c.stream, p);
  launch(attention_backward_streaming_kernel<Columns, owner::keys>, blocks, warps * warp_lanes,
         layout<Columns>::bytes, c.stream, p);
}

}  // namespace

void differentiate_streaming(const ops::attention_backward::args& a, int shortest, context& c) {
  const gradient_arguments gradient = gradient_arguments_of(a);
  const attention_batch& batch = gradient.batch;
  // The lengths of a packed batch are known on the device only. When most of its sequences are skipped, few
  // blocks have to start for that.
  const int splits = batch.starts ? 1 : std::max(1, (batch.tokens + own_rows - 1) / own_rows);
  const int heads_per_block = shortest > 0 ? batch.heads : 1;
  float* delta = c.scratch.take<float>(int64_t(batch.rows) * batch.heads);
  const arguments p{gradient, delta, splits, heads_per_block, shortest};
  if (batch.head_dim <= 64) return start<64>(p, c);
  if (batch.head_dim <= 96) return start<96>(p, c);
  if (batch.head_dim <= 112) return start<112>(p, c);
  start<128>(p, c);
}

}  // namespace eva::cuda
