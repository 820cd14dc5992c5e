#include "cuda/attention/attention.h"
#include "cuda/attention/softmax.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int warps = 4, round_queries = 16 * warps;

struct arguments {
  attention_batch batch;
  const bf16* qkv;  // [rows, 3, H, D]
  bf16* out;        // [rows, H, D]
  float* log_sum;   // [rows, H]
  int splits;       // blocks that share a head's rounds of 64 queries
};

/// Of the lane's two queries: the largest score so far, in units of ln 2, and the lane's part of the sum of
/// powers relative to it.
struct running {
  float maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {};
};

// The scores of one block of keys become probabilities, and what was summed up before is scaled to the new
// maximum.
template <int Columns, int KeyTiles>
__device__ void absorb(running& state, float (&out)[Columns / 8][4], uint32_t (&probability)[2 * KeyTiles][2],
                       float (&score)[2 * KeyTiles][4], int half, int last, float factor) {
  const float largest = fmaxf(state.maximum[half], mask_and_maximum<KeyTiles>(score, half, last) * factor);
  const float shrink = exp2_fast(state.maximum[half] - largest);
  state.maximum[half] = largest;
  state.sum[half] =
      state.sum[half] * shrink + exponentiate<KeyTiles>(probability, score, half, factor, largest);
#pragma unroll
  for (int n = 0; n < Columns / 8; ++n)
#pragma unroll
    for (int i = 0; i < 2; ++i) out[n][2 * half + i] *= shrink;
}

// A block takes rounds of 64 queries of one head, and its keys and values pass by in blocks of 16 KeyTiles: a
// short sequence is one of them, and stays.
template <int Columns, int KeyTiles>
__global__ void __launch_bounds__(warps* warp_lanes, Columns > 96 ? 3 : 4)
    attention_streaming_kernel(arguments p) {
  using rows = tile<Columns>;
  constexpr int block_keys = 16 * KeyTiles, bytes = rows::bytes(block_keys);
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  const rows key = rows::at(0), value = rows::at(bytes), query = rows::at(2 * bytes);
  const float factor = h.batch.scale * log2_e;
  const int g = lane_index() / 4, row = 16 * warp_index();  // of the query tile

  int loaded = -1;  // first of the keys in shared memory
  for (int round = split * round_queries; round < h.tokens; round += p.splits * round_queries) {
    const int token = round + row;
    const int seen = token >= h.tokens ? 0 : h.batch.causal ? min(token + 16, h.tokens) : h.tokens;
    const int end = h.batch.causal ? min(round + round_queries, h.tokens) : h.tokens;
    running state;
    float out[Columns / 8][4] = {};
    for (int first = 0; first < end; first += block_keys) {
      const int count = min(block_keys, (h.tokens - first + 15) / 16 * 16);
      const bool loads = loaded != first;
      block_barrier();  // the last block's rows have been read
      if (first == 0)
        copy_rows(h, query, round, round_queries, p.qkv, [&](int i) { return h.qkv(i, part::query); });
      if (loads) copy_rows(h, key, first, count, p.qkv, [&](int i) { return h.qkv(i, part::key); });
      copy_commit();
      if (loads) copy_rows(h, value, first, count, p.qkv, [&](int i) { return h.qkv(i, part::value); });
      copy_commit();
      copy_wait<1>();
      if (first == 0) rotate_rows(h, query, round, round_queries);
      if (loads) rotate_rows(h, key, first, count);
      loaded = first;
      block_barrier();

      float score[2 * KeyTiles][4] = {};
      multiply_scores<Columns, KeyTiles>(score, query, row, key, seen - first);
      copy_wait<0>();  // V's copies travel under the scores
      block_barrier();
      if (first >= seen) continue;
      uint32_t probability[2 * KeyTiles][2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int last = h.batch.causal ? min(token + g + 8 * half, h.tokens - 1) : h.tokens - 1;
        absorb<Columns, KeyTiles>(state, out, probability, score, half, last - first, factor);
      }
      add_weighted_values<Columns, KeyTiles>(out, probability, value, seen - first);
    }
    if (seen == 0) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) state.sum[half] = quad_sum(state.sum[half]);
    store_rows(h, query, row, token, out, state.maximum, state.sum, p.out, p.log_sum);
  }
}

template <int Columns, int KeyTiles> void start(const arguments& p, context& c) {
  launch(attention_streaming_kernel<Columns, KeyTiles>, p.batch.sequences * p.batch.heads * p.splits,
         warps * warp_lanes, tile<Columns>::bytes(2 * 16 * KeyTiles + round_queries), c.stream, p);
}

}  // namespace

void attend_streaming(const ops::attention::args& a, context& c) {
  const attention_batch batch(a);
  // The lengths of a packed batch are known on the device only.
  const int splits = batch.starts ? 1 : std::max(1, (batch.tokens + round_queries - 1) / round_queries);
  const arguments p{batch, a.qkv.as<const bf16>(), a.out.as<bf16>(), a.log_sum.as<float>(), splits};
  if (batch.head_dim <= 64) return start<64, 4>(p, c);
  if (batch.head_dim <= 96) return start<96, 4>(p, c);
  if (batch.head_dim <= 112) return start<112, 4>(p, c);
  start<128, 4>(p, c);
}

}  // namespace eva::cuda
