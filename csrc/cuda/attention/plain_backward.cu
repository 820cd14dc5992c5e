#include "cuda/attention/attention.h"
#include "cuda/attention/plain.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/element_type.h"

namespace eva::cuda {
namespace {

using namespace device;
using namespace plain;

template <class T> struct arguments {
  attention_batch batch;
  const T *dout, *qkv, *out;  // [rows, H, D], [rows, 3, H, D], [rows, H, D]
  const float* log_sum;       // [rows, H]
  float* delta;               // [rows, H], dout · out
  T* dqkv;                    // [rows, 3, H, D]
  int splits;
};

/// A block owns queries, with their dq, or keys, with their dk and dv. Of queries "first" is q and "second"
/// dout; of keys they are k and v.
enum class owner { queries, keys };

template <class T>
__device__ void load_pair(const arguments<T>& p, const head& h, bool queries, matrix first, matrix second,
                          int begin, int count) {
  if (queries) {
    load_rows(
        h, first, begin, count, p.qkv, [&](int i) { return h.qkv(i, part::query); }, true);
    load_rows(
        h, second, begin, count, p.dout, [&](int i) { return h.output(i); }, false);
  } else {
    load_rows(
        h, first, begin, count, p.qkv, [&](int i) { return h.qkv(i, part::key); }, true);
    load_rows(
        h, second, begin, count, p.qkv, [&](int i) { return h.qkv(i, part::value); }, false);
  }
}

/// Σ p dp of every query over its keys, a warp a query of the block.
template <class T> __global__ void attention_delta_kernel(arguments<T> p) {
  const attention_batch& b = p.batch;
  const int64_t count = int64_t(b.rows) * b.heads, stride = int64_t(grid_blocks()) * warps;
  for (int64_t i = int64_t(block_index()) * warps + warp_index(); i < count; i += stride) {
    float sum = 0;
    for (int d = lane_index(); d < b.head_dim; d += warp_lanes)
      sum += to_float(p.dout[i * b.head_dim + d]) * to_float(p.out[i * b.head_dim + d]);
    sum = warp_sum(sum);
    if (lane_index() == 0) p.delta[i] = sum;
  }
}

/// The probability and the score's gradient of (own row token + r, the lane's other row) from their products.
template <class T, owner Owner>
__device__ void gradient_of_scores(const arguments<T>& p, const head& h, int token, int other,
                                   float (&score)[warp_rows], float (&d_probability)[warp_rows]) {
#pragma unroll
  for (int r = 0; r < warp_rows; ++r) {
    const int query = Owner == owner::queries ? token + r : other;
    const int key = Owner == owner::queries ? other : token + r;
    const bool seen = query < h.tokens && key < h.tokens && (!h.batch.causal || key <= query);
    const size_t at = h.log_sum(seen ? query : 0);
    const float probability =
        seen ? exp2_fast(score[r] * (h.batch.scale * log2_e) - p.log_sum[at] * log2_e) : 0;
    score[r] = probability;
    d_probability[r] = probability * (d_probability[r] - p.delta[at]) * h.batch.scale;
  }
}

/// Gradients of the warp's rows; those of queries and keys turn back.
template <class T, int Strips>
__device__ void store_rows(const arguments<T>& p, const head& h, part which, int token,
                           const float (&gradient)[warp_rows][Strips]) {
#pragma unroll
  for (int r = 0; r < warp_rows; ++r)
#pragma unroll
    for (int s = 0; s < Strips; ++s) {
      const int column = lane_index() + warp_lanes * s;
      const float partner = shuffle_xor(gradient[r][s], 1);
      if (token + r >= h.tokens || column >= h.batch.head_dim) continue;
      float x = gradient[r][s];
      if (which != part::value && h.rotates(token + r)) {
        const float* angle = h.angles(token + r, column & ~1);
        x = x * angle[0] + (column % 2 ? -partner : partner) * angle[1];
      }
      p.dqkv[h.qkv(token + r, which) + size_t(column)] = from_float<T>(x);
    }
}

// One block a multiprocessor is asked for so that the compiler does not spill to make room for many.
template <class T, int Strips, owner Owner>
__global__ void __launch_bounds__(warps* warp_lanes, 1) attention_backward_plain_kernel(arguments<T> p) {
  constexpr bool own_queries = Owner == owner::queries;
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  const int head_dim = h.batch.head_dim, pitch = pitch_of(head_dim), own = bytes_of(own_rows, head_dim);
  const matrix own_first{shared_at<float>(0), pitch}, own_second{shared_at<float>(own), pitch},
      other_first{shared_at<float>(2 * own), pitch},
      other_second{shared_at<float>(2 * own + bytes_of(other_rows, head_dim)), pitch};
  const int row = warp_rows * warp_index();
  for (int begin = split * own_rows; begin < h.tokens; begin += p.splits * own_rows) {
    float d_first[warp_rows][Strips] = {}, d_second[warp_rows][Strips] = {};
    const int start = !own_queries && h.batch.causal ? begin : 0;
    const int end = own_queries && h.batch.causal ? min(begin + own_rows, h.tokens) : h.tokens;
    for (int first = start; first < end; first += other_rows) {
      block_barrier();
      if (first == start) load_pair(p, h, own_queries, own_first, own_second, begin, own_rows);
      load_pair(p, h, !own_queries, other_first, other_second, first, other_rows);
      block_barrier();
      float score[warp_rows] = {}, d_probability[warp_rows] = {};
      multiply(score, own_first, row, other_first, head_dim);
      multiply(d_probability, own_second, row, other_second, head_dim);
      gradient_of_scores<T, Owner>(p, h, begin + row, first + lane_index(), score, d_probability);
      accumulate<Strips>(d_first, d_probability, other_first, head_dim);
      if (!own_queries) accumulate<Strips>(d_second, score, other_second, head_dim);
    }
    store_rows<T, Strips>(p, h, own_queries ? part::query : part::key, begin + row, d_first);
    if (!own_queries) store_rows<T, Strips>(p, h, part::value, begin + row, d_second);
  }
}

template <class T, int Strips> void start(const arguments<T>& p, context& c) {
  const attention_batch& b = p.batch;
  const int threads = warps * warp_lanes, blocks = b.sequences * b.heads * p.splits;
  const int shared_bytes = bytes_of(2 * own_rows + 2 * other_rows, b.head_dim);
  const int64_t rows = int64_t(b.rows) * b.heads;
  launch(attention_delta_kernel<T>,
         int(std::min<int64_t>((rows + warps - 1) / warps, 32 * c.properties.multiprocessors)), threads, 0,
         c.stream, p);
  launch(attention_backward_plain_kernel<T, Strips, owner::queries>, blocks, threads, shared_bytes, c.stream,
         p);
  launch(attention_backward_plain_kernel<T, Strips, owner::keys>, blocks, threads, shared_bytes, c.stream, p);
}

}  // namespace

void differentiate_plain(const ops::attention_backward::args& a, context& c) {
  for_element_type(a.qkv.type, [&]<class T>(T*) {
    const attention_batch batch(a);
    const arguments<T> p{batch,
                         a.dout.as<const T>(),
                         a.qkv.as<const T>(),
                         a.out.as<const T>(),
                         a.log_sum.as<const float>(),
                         c.scratch.take<float>(int64_t(batch.rows) * batch.heads),
                         a.dqkv.as<T>(),
                         splits_of(batch)};
    for_strips(batch.head_dim, [&](auto strips) { start<T, decltype(strips)::value>(p, c); });
  });
}

}  // namespace eva::cuda
