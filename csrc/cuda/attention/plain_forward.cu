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
  const T* qkv;    // [rows, 3, H, D]
  T* out;          // [rows, H, D]
  float* log_sum;  // [rows, H]
  int splits;
};

template <int Strips> struct running {
  float maximum[warp_rows], sum[warp_rows], out[warp_rows][Strips];  // sum and maximum in units of ln 2
};

/// Adds 32 keys from `first` on to the results of the warp's queries, which stand in rows from `row` on.
template <int Strips>
__device__ void absorb(running<Strips>& state, const head& h, matrix query, int row, int token, matrix key,
                       matrix value, int first) {
  float score[warp_rows] = {};
  multiply(score, query, row, key, h.batch.head_dim);
#pragma unroll
  for (int r = 0; r < warp_rows; ++r) {
    const int from = first + lane_index();
    const bool seen = from < h.tokens && (!h.batch.causal || from <= token + r);
    score[r] = seen ? score[r] * (h.batch.scale * log2_e) : -INFINITY;
    const float largest = fmaxf(state.maximum[r], warp_max(score[r]));
    // Before its first key a query has no maximum, and nothing to shrink.
    const float shrink = largest == -INFINITY ? 1 : exp2_fast(state.maximum[r] - largest);
    score[r] = largest == -INFINITY ? 0 : exp2_fast(score[r] - largest);
    state.maximum[r] = largest;
    state.sum[r] = state.sum[r] * shrink + warp_sum(score[r]);
#pragma unroll
    for (int s = 0; s < Strips; ++s) state.out[r][s] *= shrink;
  }
  accumulate<Strips>(state.out, score, value, h.batch.head_dim);
}

template <class T, int Strips>
__device__ void store_results(const arguments<T>& p, const head& h, const running<Strips>& state, int token) {
#pragma unroll
  for (int r = 0; r < warp_rows; ++r) {
    if (token + r >= h.tokens) continue;
#pragma unroll
    for (int s = 0; s < Strips; ++s)
      if (const int column = lane_index() + warp_lanes * s; p.out && column < h.batch.head_dim)
        p.out[h.output(token + r) + size_t(column)] = from_float<T>(state.out[r][s] / state.sum[r]);
    if (p.log_sum && lane_index() == 0)
      p.log_sum[h.log_sum(token + r)] = state.maximum[r] / log2_e + logf(state.sum[r]);
  }
}

template <class T, int Strips>
__global__ void __launch_bounds__(warps* warp_lanes) attention_plain_kernel(arguments<T> p) {
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  const int head_dim = h.batch.head_dim, pitch = pitch_of(head_dim);
  const matrix query{shared_at<float>(0), pitch}, key{shared_at<float>(bytes_of(own_rows, head_dim)), pitch},
      value{shared_at<float>(bytes_of(own_rows + other_rows, head_dim)), pitch};
  const int row = warp_rows * warp_index();
  for (int begin = split * own_rows; begin < h.tokens; begin += p.splits * own_rows) {
    running<Strips> state{};
#pragma unroll
    for (int r = 0; r < warp_rows; ++r) state.maximum[r] = -INFINITY;
    const int end = h.batch.causal ? min(begin + own_rows, h.tokens) : h.tokens;
    for (int first = 0; first < end; first += other_rows) {
      block_barrier();
      if (first == 0)
        load_rows(
            h, query, begin, own_rows, p.qkv, [&](int i) { return h.qkv(i, part::query); }, true);
      load_rows(
          h, key, first, other_rows, p.qkv, [&](int i) { return h.qkv(i, part::key); }, true);
      load_rows(
          h, value, first, other_rows, p.qkv, [&](int i) { return h.qkv(i, part::value); }, false);
      block_barrier();
      absorb<Strips>(state, h, query, row, begin + row, key, value, first);
    }
    store_results<T, Strips>(p, h, state, begin + row);
  }
}

}  // namespace

void attend_plain(const ops::attention::args& a, context& c) {
  for_element_type(a.qkv.type, [&]<class T>(T*) {
    const attention_batch batch(a);
    const arguments<T> p{batch, a.qkv.as<const T>(), a.out.as<T>(), a.log_sum.as<float>(), splits_of(batch)};
    for_strips(batch.head_dim, [&](auto strips) {
      launch(attention_plain_kernel<T, decltype(strips)::value>, batch.sequences * batch.heads * p.splits,
             warps * warp_lanes, bytes_of(own_rows + 2 * other_rows, batch.head_dim), c.stream, p);
    });
  });
}

}  // namespace eva::cuda
