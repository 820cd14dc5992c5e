#include "cuda/attention/attention.h"
#include "cuda/attention/schedule.h"
#include "cuda/attention/softmax.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

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

template <int Columns, int Warps> struct layout {  // byte offsets in shared memory
  using rows = tile<Columns>;
  static constexpr int block_m = 16 * Warps, block_n = streaming_forward_block_n(Columns);
  static constexpr int n_bytes = rows::bytes(block_n), query = 4 * n_bytes;
  static constexpr int bytes = query + rows::bytes(block_m);

  // Double-buffered.
  __device__ static rows key(int buffer) { return rows::at(2 * buffer * n_bytes); }
  __device__ static rows value(int buffer) { return rows::at((2 * buffer + 1) * n_bytes); }
};

/// Starts the copies of keys and values `first` … of a tile.
template <int Columns, int Warps>
__device__ void copy_tile(const arguments& p, const head& h, int buffer, int first) {
  using offsets = layout<Columns, Warps>;
  const int count = min(offsets::block_n, (h.tokens - first + 15) / 16 * 16);
  copy_rows(h, offsets::key(buffer), first, count, h.rows_of(p.qkv, part::key));
  copy_rows(h, offsets::value(buffer), first, count, h.rows_of(p.qkv, part::value));
  copy_commit();
}

/// The output of queries begin … begin + BLOCK_M - 1.
template <int Columns, int Warps> __device__ void forward_rows(const arguments& p, const head& h, int begin) {
  using offsets = layout<Columns, Warps>;
  constexpr int block_m = offsets::block_m, block_n = offsets::block_n, key_tiles = block_n / 16;
  const auto query = tile<Columns>::at(offsets::query);
  const float factor = h.batch.scale * log2_e;
  const int g = lane_index() / 4, row = 16 * warp_index(), token = begin + row;
  const int visible_keys = token >= h.tokens ? 0 : h.batch.causal ? min(token + 16, h.tokens) : h.tokens;
  const int end = h.batch.causal ? min(begin + block_m, h.tokens) : h.tokens;
  block_barrier();  // the output of the last queries has been stored
  copy_rows(h, query, begin, block_m, h.rows_of(p.qkv, part::query));
  copy_tile<Columns, Warps>(p, h, 0, 0);
  copy_wait<0>();
  apply_rope(h, computed_positions{}, begin, block_m, query);

  softmax_state state;
  float out[Columns / 8][4] = {};
  for (int first = 0; first < end; first += block_n) {
    const int buffer = first / block_n % 2, next = first + block_n;
    copy_wait<0>();
    apply_rope(h, computed_positions{}, first, min(block_n, h.tokens - first), offsets::key(buffer));
    block_barrier();  // this tile has arrived, and all reads of the other buffer are done
    if (next < end) copy_tile<Columns, Warps>(p, h, 1 - buffer, next);
    if (first >= visible_keys) continue;

    float score[2 * key_tiles][4] = {};
    multiply_scores<Columns, key_tiles>(score, query, row, offsets::key(buffer), visible_keys - first);
    uint32_t probability[2 * key_tiles][2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      warp_barrier();  // or the compiler interleaves the halves, for which there are not enough registers
      const int last = h.batch.causal ? min(token + g + 8 * half, h.tokens - 1) : h.tokens - 1;
      update_softmax<Columns, key_tiles>(state, out, probability, score, half, last - first, factor);
    }
    add_weighted_values<Columns, key_tiles>(out, probability, offsets::value(buffer), visible_keys - first);
  }
  if (visible_keys == 0) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) state.sum[half] = quad_sum(state.sum[half]);
  store_output(h, query, row, token, out, state.maximum, state.sum, p.out, p.lse);
}

// A block loops over tiles of BLOCK_M queries of one head and, for each, over tiles of BLOCK_N keys and
// values, each of which is computed while the next one is copied.
//
// Expected bound: tensor cores (mma.sync), 4 N² D FLOP per head, at the rate that ldmatrix feeds them from
// shared memory; HBM bandwidth for packed text, 8 D bytes per token and head. Blocks per SM: see
// streaming_forward_blocks.
template <int Columns, int Warps>
__global__ void __launch_bounds__(Warps* warp_size, streaming_forward_blocks(Columns, Warps))
    attention_streaming_kernel(arguments p) {
  constexpr int block_m = layout<Columns, Warps>::block_m;
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  for (int begin = split * block_m; begin < h.tokens; begin += p.splits * block_m)
    forward_rows<Columns, Warps>(p, h, begin);
}

template <int Columns, int Warps> void start(arguments p, context& c) {
  using offsets = layout<Columns, Warps>;
  // The lengths of a packed batch are known only on the device.
  p.splits = p.batch.starts ? 1 : (p.batch.tokens + offsets::block_m - 1) / offsets::block_m;
  launch(attention_streaming_kernel<Columns, Warps>, p.batch.sequences * p.batch.heads * p.splits,
         Warps * warp_size, offsets::bytes, c.stream, p);
}

}  // namespace

void attention_forward_streaming(const ops::attention::args& a, context& c) {
  const arguments p{attention_batch(a), a.qkv.as<const bf16>(), a.out.as<bf16>(), a.log_sum.as<float>(), 1};
  for_streaming_columns(p.batch.head_dim, [&](auto columns) {
    constexpr int n = decltype(columns)::value;
    p.batch.starts ? start<n, streaming_forward_warps(n, true)>(p, c)
                   : start<n, streaming_forward_warps(n, false)>(p, c);
  });
}

}  // namespace eva::cuda
