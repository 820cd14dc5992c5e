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
  const T* qkv;  // [rows, 3, H, D]
  T* out;        // [rows, H, D]
  float* lse;    // [rows, H]
  int splits;
};

/// The online softmax of the warp's queries, in base 2: the largest score, Σ 2^(score - maximum), and the
/// unnormalized output.
template <int LaneColumns> struct softmax_state {
  float maximum[warp_rows], sum[warp_rows], out[warp_rows][LaneColumns];
};

/// One online-softmax update (Milakov and Gimelshein 2018): the warp's queries, rows row … row + 3 of
/// `query`, with keys first … first + 31.
template <int LaneColumns>
__device__ void update_softmax(softmax_state<LaneColumns>& state, const head& h, matrix query, int row,
                               int token, matrix key, matrix value, int first) {
  float score[warp_rows] = {};
  multiply(score, query, row, key, h.batch.head_dim);
#pragma unroll
  for (int r = 0; r < warp_rows; ++r) {
    const int key_token = first + lane_index();
    const bool visible = key_token < h.tokens && (!h.batch.causal || key_token <= token + r);
    score[r] = visible ? score[r] * (h.batch.scale * log2_e) : -INFINITY;
    const float new_maximum = fmaxf(state.maximum[r], warp_max(score[r]));
    // Until its first visible key a query's maximum is -inf, and -inf - -inf would be NaN.
    const float rescale = new_maximum == -INFINITY ? 1 : exp2_fast(state.maximum[r] - new_maximum);
    score[r] = new_maximum == -INFINITY ? 0 : exp2_fast(score[r] - new_maximum);
    state.maximum[r] = new_maximum;
    state.sum[r] = state.sum[r] * rescale + warp_sum(score[r]);
#pragma unroll
    for (int s = 0; s < LaneColumns; ++s) state.out[r][s] *= rescale;
  }
  accumulate<LaneColumns>(state.out, score, value, h.batch.head_dim);
}

template <class T, int LaneColumns>
__device__ void store_results(const arguments<T>& p, const head& h, const softmax_state<LaneColumns>& state,
                              int token) {
#pragma unroll
  for (int r = 0; r < warp_rows; ++r) {
    if (token + r >= h.tokens) continue;
#pragma unroll
    for (int s = 0; s < LaneColumns; ++s)
      if (const int column = lane_index() + warp_size * s; p.out && column < h.batch.head_dim)
        h.rows_of(p.out).row(token + r)[column] = from_float<T>(state.out[r][s] / state.sum[r]);
    if (p.lse && lane_index() == 0) p.lse[h.lse(token + r)] = state.maximum[r] / log2_e + logf(state.sum[r]);
  }
}

// Expected bound: shared-memory loads, 5 per 4 FMAs of the dot products.
template <class T, int LaneColumns>
__global__ void __launch_bounds__(warps* warp_size) attention_plain_kernel(arguments<T> p) {
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  const int head_dim = h.batch.head_dim, pitch = pitch_of(head_dim);
  const matrix query{shared_at<float>(0), pitch}, key{shared_at<float>(bytes_of(block_m, head_dim)), pitch},
      value{shared_at<float>(bytes_of(block_m + block_n, head_dim)), pitch};
  const int row = warp_rows * warp_index();
  for (int begin = split * block_m; begin < h.tokens; begin += p.splits * block_m) {
    softmax_state<LaneColumns> state{};
#pragma unroll
    for (int r = 0; r < warp_rows; ++r) state.maximum[r] = -INFINITY;
    const int end = h.batch.causal ? min(begin + block_m, h.tokens) : h.tokens;
    for (int first = 0; first < end; first += block_n) {
      block_barrier();
      if (first == 0) load_rows(h, query, begin, block_m, h.rows_of(p.qkv, part::query), true);
      load_rows(h, key, first, block_n, h.rows_of(p.qkv, part::key), true);
      load_rows(h, value, first, block_n, h.rows_of(p.qkv, part::value), false);
      block_barrier();
      update_softmax<LaneColumns>(state, h, query, row, begin + row, key, value, first);
    }
    store_results<T, LaneColumns>(p, h, state, begin + row);
  }
}

}  // namespace

void attention_forward_plain(const ops::attention::args& a, context& c) {
  for_element_type(a.qkv.type, [&]<class T>(T*) {
    const attention_batch batch(a);
    const arguments<T> p{batch, a.qkv.as<const T>(), a.out.as<T>(), a.log_sum.as<float>(), splits_of(batch)};
    for_lane_columns(batch.head_dim, [&](auto lane_columns) {
      launch(attention_plain_kernel<T, decltype(lane_columns)::value>,
             batch.sequences * batch.heads * p.splits, warps * warp_size,
             bytes_of(block_m + 2 * block_n, batch.head_dim), c.stream, p);
    });
  });
}

}  // namespace eva::cuda
