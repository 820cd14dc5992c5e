#include "cuda/attention/attention.h"
#include "cuda/attention/softmax.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int warps = 4, block_m = 16 * warps;  // BLOCK_M: queries per iteration of a block

struct arguments {
  attention_batch batch;
  const bf16* qkv;  // [rows, 3, H, D]
  bf16* out;        // [rows, H, D]
  float* lse;       // [rows, H]
  int splits;       // blocks per head, which share its tiles of BLOCK_M queries
};

/// The online softmax of the lane's two queries, in base 2: the largest score so far, and the lane's part of
/// Σ 2^(score - maximum).
struct softmax_state {
  float maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {};
};

// One online-softmax update (Milakov and Gimelshein 2018): turns the scores of a tile of keys into
// probabilities, and rescales the sum and the output to the new maximum.
template <int Columns, int KeyTiles>
__device__ void update_softmax(softmax_state& state, float (&out)[Columns / 8][4],
                               uint32_t (&probability)[2 * KeyTiles][2], float (&score)[2 * KeyTiles][4],
                               int half, int last, float factor) {
  const float new_maximum =
      fmaxf(state.maximum[half], mask_and_row_max<KeyTiles>(score, half, last) * factor);
  const float rescale = exp2_fast(state.maximum[half] - new_maximum);
  state.maximum[half] = new_maximum;
  state.sum[half] =
      state.sum[half] * rescale + exponentiate_row<KeyTiles>(probability, score, half, factor, new_maximum);
#pragma unroll
  for (int n = 0; n < Columns / 8; ++n)
#pragma unroll
    for (int i = 0; i < 2; ++i) out[n][2 * half + i] *= rescale;
}

// A block loops over tiles of BLOCK_M queries of one head and, for each, over tiles of BLOCK_N = 16 KeyTiles
// keys and values. A sequence of one key tile is loaded once.
//
// Expected bound: load latency; the tiles are single-buffered. Blocks per SM on sm_90a: 4, 4, 3, 3 (D 64, 96,
// 112, 128).
template <int Columns, int KeyTiles>
__global__ void __launch_bounds__(warps* warp_size, Columns > 96 ? 3 : 4)
    attention_streaming_kernel(arguments p) {
  using rows = tile<Columns>;
  constexpr int block_n = 16 * KeyTiles, bytes = rows::bytes(block_n);
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  const rows key = rows::at(0), value = rows::at(bytes), query = rows::at(2 * bytes);
  const float factor = h.batch.scale * log2_e;
  const int g = lane_index() / 4, row = 16 * warp_index();  // of the query tile

  int loaded = -1;  // the first key of the tile in shared memory
  for (int begin = split * block_m; begin < h.tokens; begin += p.splits * block_m) {
    const int token = begin + row;
    const int visible_keys = token >= h.tokens ? 0 : h.batch.causal ? min(token + 16, h.tokens) : h.tokens;
    const int end = h.batch.causal ? min(begin + block_m, h.tokens) : h.tokens;
    softmax_state state;
    float out[Columns / 8][4] = {};
    for (int first = 0; first < end; first += block_n) {
      const int count = min(block_n, (h.tokens - first + 15) / 16 * 16);
      const bool is_new = loaded != first;
      block_barrier();  // the last tile's rows have been read
      if (first == 0)
        copy_rows(h, query, begin, block_m, p.qkv, [&](int i) { return h.qkv(i, part::query); });
      if (is_new) copy_rows(h, key, first, count, p.qkv, [&](int i) { return h.qkv(i, part::key); });
      copy_commit();
      if (is_new) copy_rows(h, value, first, count, p.qkv, [&](int i) { return h.qkv(i, part::value); });
      copy_commit();
      copy_wait<1>();
      if (first == 0) apply_rope(h, query, begin, block_m);
      if (is_new) apply_rope(h, key, first, count);
      loaded = first;
      block_barrier();

      float score[2 * KeyTiles][4] = {};
      multiply_scores<Columns, KeyTiles>(score, query, row, key, visible_keys - first);
      copy_wait<0>();  // the copies of V overlapped the scores
      block_barrier();
      if (first >= visible_keys) continue;
      uint32_t probability[2 * KeyTiles][2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int last = h.batch.causal ? min(token + g + 8 * half, h.tokens - 1) : h.tokens - 1;
        update_softmax<Columns, KeyTiles>(state, out, probability, score, half, last - first, factor);
      }
      add_weighted_values<Columns, KeyTiles>(out, probability, value, visible_keys - first);
    }
    if (visible_keys == 0) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) state.sum[half] = quad_sum(state.sum[half]);
    store_rows(h, query, row, token, out, state.maximum, state.sum, p.out, p.lse);
  }
}

template <int Columns, int KeyTiles> void start(const arguments& p, context& c) {
  launch(attention_streaming_kernel<Columns, KeyTiles>, p.batch.sequences * p.batch.heads * p.splits,
         warps * warp_size, tile<Columns>::bytes(2 * 16 * KeyTiles + block_m), c.stream, p);
}

}  // namespace

void attention_forward_streaming(const ops::attention::args& a, context& c) {
  const attention_batch batch(a);
  // The lengths of a packed batch are known only on the device.
  const int splits = batch.starts ? 1 : std::max(1, (batch.tokens + block_m - 1) / block_m);
  const arguments p{batch, a.qkv.as<const bf16>(), a.out.as<bf16>(), a.log_sum.as<float>(), splits};
  if (batch.head_dim <= 64) return start<64, 4>(p, c);
  if (batch.head_dim <= 96) return start<96, 4>(p, c);
  if (batch.head_dim <= 112) return start<112, 4>(p, c);
  start<128, 4>(p, c);
}

}  // namespace eva::cuda
