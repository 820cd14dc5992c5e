#include "cuda/attention/attention.h"
#include "cuda/attention/schedule.h"
#include "cuda/attention/softmax.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

struct arguments {
  attention_batch batch;
  const bf16* qkv;  // [B, N, 3, H, D]
  bf16* out;        // [B, N, H, D]
  float* lse;       // [B, N, H]
  int splits;       // blocks per head, which share its tiles of BLOCK_M queries
};

template <int Columns, int KeyTiles> struct layout {  // byte offsets in shared memory
  static constexpr int tokens = 16 * KeyTiles, operand_bytes = tile<Columns>::bytes(tokens);
  static constexpr int query = 0, key = operand_bytes, value = 2 * operand_bytes,
                       positions = 3 * operand_bytes;
  static constexpr int bytes = positions + grid_positions::bytes(tokens);
};

/// Starts the loads of Q, K and V into shared memory; V may still be on its way at the end.
template <int Columns, int KeyTiles> __device__ void load(const arguments& p, const head& h) {
  using offsets = layout<Columns, KeyTiles>;
  using rows = tile<Columns>;
  const int padded = (h.tokens + 15) / 16 * 16;
  const rows query = rows::at(offsets::query), key = rows::at(offsets::key);
  const grid_positions positions{shared_at<uint32_t>(offsets::positions)};
  copy_rows(h, query, 0, padded, h.rows_of(p.qkv, part::query));
  copy_rows(h, key, 0, padded, h.rows_of(p.qkv, part::key));
  copy_commit();
  copy_rows(h, rows::at(offsets::value), 0, padded, h.rows_of(p.qkv, part::value));
  copy_commit();
  if (h.batch.rope) {
    positions.compute(h);
    block_barrier();
  }
  copy_wait<1>();
  apply_rope(h, positions, 0, padded, query, key);
  block_barrier();
}

// A block holds the Q, K and V of one head. A warp takes 16 queries at a time with all their scores in
// registers, so one pass computes the softmax: no running maximum, no rescaling.
//
// Expected bound: HBM bandwidth; 8 D bytes per token and head (q, k and v read, o written), N / 2 FLOP per
// byte. Blocks per SM: see forward_schedules.
template <int Columns, int KeyTiles, int Warps, int Blocks>
__global__ void __launch_bounds__(Warps* warp_size, Blocks) attention_resident_kernel(arguments p) {
  using offsets = layout<Columns, KeyTiles>;
  using rows = tile<Columns>;
  constexpr int block_m = 16 * Warps;
  const int item = block_index() / p.splits, split = block_index() % p.splits;
  const head h(p.batch, item / p.batch.heads, item % p.batch.heads);
  load<Columns, KeyTiles>(p, h);

  const rows query = rows::at(offsets::query), key = rows::at(offsets::key), value = rows::at(offsets::value);
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
      warp_barrier();  // or the compiler interleaves the halves, for which there are not enough registers
      const int last = h.batch.causal ? min(row + g + 8 * half, h.tokens - 1) : h.tokens - 1;
      maximum[half] = mask_and_row_max<KeyTiles>(score, half, last) * factor;
      sum[half] = quad_sum(exponentiate_row<KeyTiles>(probability, score, half, factor, maximum[half]));
    }
    float out[Columns / 8][4] = {};
    add_weighted_values<Columns, KeyTiles>(out, probability, value, keys);
    store_output(h, query, row, row, out, maximum, sum, p.out, p.lse);
  }
}

/// Blocks per head: a small batch leaves SMs idle unless several blocks share a head. Each of them loads all
/// its keys.
int splits_of(const attention_batch& b, int block_m, const context& c) {
  const int m_tiles = (b.tokens + block_m - 1) / block_m;
  return std::clamp(2 * c.properties.multiprocessors / std::max(1, b.sequences * b.heads), 1,
                    std::max(1, m_tiles));
}

template <resident_schedule S> bool start(arguments p, context& c) {
  constexpr int shared_bytes = layout<S.columns, S.tiles>::bytes;
  if (!S.fits(p.batch.head_dim, p.batch.tokens, shared_bytes, c.properties.shared_bytes_per_block))
    return false;
  p.splits = splits_of(p.batch, 16 * S.warps, c);
  launch(attention_resident_kernel<S.columns, S.tiles, S.warps, S.blocks>,
         p.batch.sequences * p.batch.heads * p.splits, S.warps * warp_size, shared_bytes, c.stream, p);
  return true;
}

}  // namespace

bool attention_forward_resident(const ops::attention::args& a, context& c) {
  if (a.cu_seqlens.present()) return false;
  const arguments p{attention_batch(a), a.qkv.as<const bf16>(), a.out.as<bf16>(), a.log_sum.as<float>(), 1};
  return first_of<forward_schedules>([&]<resident_schedule S>() { return start<S>(p, c); });
}

}  // namespace eva::cuda
