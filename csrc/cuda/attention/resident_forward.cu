#include "cuda/attention/attention.h"
#include "cuda/attention/softmax.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int warps = 4, block_m = 16 * warps;  // BLOCK_M: queries per iteration of a block

struct arguments {
  attention_batch batch;
  const bf16* qkv;  // [B, N, 3, H, D]
  bf16* out;        // [B, N, H, D]
  float* lse;       // [B, N, H]
  int splits;       // blocks per head, which share its tiles of BLOCK_M queries
};

// A block holds the Q, K and V of one head. A warp takes 16 queries at a time with all their scores in
// registers, so one pass computes the softmax: no running maximum, no rescaling.
//
// Expected bound: HBM bandwidth; 8 D bytes per token and head (q, k and v read, o written), N / 2 FLOP per
// byte. Blocks per SM on sm_90a, for the sizes of attention_forward_resident in their order: 8, 6, 4, 4, 2, 2
// (D 64); 2 (D 96, D 112); 1 (D 128).
template <int Columns, int KeyTiles>
__global__ void __launch_bounds__(warps* warp_size) attention_resident_kernel(arguments p) {
  using rows = tile<Columns>;
  constexpr int bytes = rows::bytes(16 * KeyTiles);
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  const int padded = (h.tokens + 15) / 16 * 16;
  const rows query = rows::at(0), key = rows::at(bytes), value = rows::at(2 * bytes);

  copy_rows(h, query, 0, padded, p.qkv, [&](int token) { return h.qkv(token, part::query); });
  copy_rows(h, key, 0, padded, p.qkv, [&](int token) { return h.qkv(token, part::key); });
  copy_commit();
  copy_rows(h, value, 0, padded, p.qkv, [&](int token) { return h.qkv(token, part::value); });
  copy_commit();
  copy_wait<1>();
  apply_rope(h, query, 0, padded);
  apply_rope(h, key, 0, padded);
  block_barrier();

  const int g = lane_index() / 4, first = split * block_m;
  for (int begin = first; begin < h.tokens; begin += p.splits * block_m) {
    const int row = begin + 16 * warp_index();
    const int keys = row >= h.tokens ? 0 : h.batch.causal ? min(row + 16, h.tokens) : h.tokens;
    float score[2 * KeyTiles][4] = {};
    multiply_scores<Columns, KeyTiles>(score, query, row, key, keys);
    if (begin == first) {  // the copies of V overlap the first scores
      copy_wait<0>();
      block_barrier();
    }
    if (keys == 0) break;

    uint32_t probability[2 * KeyTiles][2];
    float maximum[2], sum[2];
    const float factor = h.batch.scale * log2_e;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int last = h.batch.causal ? min(row + g + 8 * half, h.tokens - 1) : h.tokens - 1;
      maximum[half] = mask_and_row_max<KeyTiles>(score, half, last) * factor;
      sum[half] = quad_sum(exponentiate_row<KeyTiles>(probability, score, half, factor, maximum[half]));
    }
    float out[Columns / 8][4] = {};
    add_weighted_values<Columns, KeyTiles>(out, probability, value, keys);
    store_rows(h, query, row, row, out, maximum, sum, p.out, p.lse);
  }
}

template <int Columns, int KeyTiles> bool start(const arguments& p, context& c) {
  const int shared_bytes = 3 * tile<Columns>::bytes(16 * KeyTiles);
  if (shared_bytes > c.properties.shared_bytes_per_block) return false;
  launch(attention_resident_kernel<Columns, KeyTiles>, p.batch.sequences * p.batch.heads * p.splits,
         warps * warp_size, shared_bytes, c.stream, p);
  return true;
}

/// Starts the kernel with the smallest compiled number of key tiles that holds the tokens.
template <int Columns, int KeyTiles, int... Larger> bool choose(const arguments& p, context& c) {
  if (p.batch.tokens <= 16 * KeyTiles) return start<Columns, KeyTiles>(p, c);
  if constexpr (sizeof...(Larger) > 0) return choose<Columns, Larger...>(p, c);
  return false;
}

/// Blocks per head: a small batch leaves SMs idle unless several blocks share a head. Each of them loads all
/// its keys.
int splits_of(const attention_batch& b, const context& c) {
  const int m_tiles = (b.tokens + block_m - 1) / block_m;
  return std::clamp(2 * c.properties.multiprocessors / std::max(1, b.sequences * b.heads), 1,
                    std::max(1, m_tiles));
}

}  // namespace

bool attention_forward_resident(const ops::attention::args& a, context& c) {
  if (a.cu_seqlens.present()) return false;
  const attention_batch batch(a);
  const arguments p{batch, a.qkv.as<const bf16>(), a.out.as<bf16>(), a.log_sum.as<float>(),
                    splits_of(batch, c)};
  if (batch.head_dim <= 64) return choose<64, 2, 5, 7, 9, 13, 17>(p, c);
  if (batch.head_dim <= 96) return choose<96, 9>(p, c);
  if (batch.head_dim <= 112) return choose<112, 9>(p, c);
  return choose<128, 9>(p, c);
}

}  // namespace eva::cuda
