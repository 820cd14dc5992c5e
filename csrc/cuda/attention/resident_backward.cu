#include "cuda/attention/attention.h"
#include "cuda/attention/gradient.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int chunk_queries = 32;

/// Unrolling of the loop over a head's columns (k): the accumulators of dK and dV leave no registers for
/// loading more fragments ahead.
constexpr int k_unroll = 2;

template <int Columns, int KeyTiles> struct layout {  // byte offsets in shared memory
  using rows = tile<Columns>;
  static constexpr int tokens = 16 * KeyTiles, operand_bytes = rows::bytes(tokens);
  static constexpr int query = 0, key = operand_bytes, value = 2 * operand_bytes,
                       d_output = 3 * operand_bytes;
  static constexpr int d_score = 4 * operand_bytes;  // double-buffered
  static constexpr int d_score_bytes = tile<chunk_queries>::bytes(tokens);
  static constexpr int lse = d_score + 2 * d_score_bytes, delta = lse + 4 * tokens;
  static constexpr int bytes = delta + 4 * tokens;
};

/// Loads Q, K, V and dO of a head into shared memory, and computes the queries' lse and delta.
template <int Columns, int KeyTiles> __device__ void load_head(const gradient_arguments& p, const head& h) {
  using offsets = layout<Columns, KeyTiles>;
  using rows = tile<Columns>;
  const int padded = (h.tokens + 15) / 16 * 16;
  const rows query = rows::at(offsets::query), key = rows::at(offsets::key),
             d_output = rows::at(offsets::d_output);
  copy_rows(h, query, 0, padded, p.qkv, [&](int token) { return h.qkv(token, part::query); });
  copy_rows(h, key, 0, padded, p.qkv, [&](int token) { return h.qkv(token, part::key); });
  copy_rows(h, rows::at(offsets::value), 0, padded, p.qkv,
            [&](int token) { return h.qkv(token, part::value); });
  copy_rows(h, d_output, 0, padded, p.dout, [&](int token) { return h.output(token); });
  copy_commit();
  copy_wait<0>();
  apply_rope(h, query, 0, padded);
  apply_rope(h, key, 0, padded);
  block_barrier();

  const auto lse = shared_at<float>(offsets::lse), delta = shared_at<float>(offsets::delta);
  for (int first = 0; first < padded; first += block_threads() / 4) {
    const int token = first + thread_index() / 4;
    const float sum = delta_of(p, h, d_output, token, token);
    if (thread_index() % 4 == 0 && token < padded) {
      delta.store(token, sum);
      lse.store(token, lse_of(p, h, token));
    }
  }
  block_barrier();
}

/// Pᵀ of keys row … row + 15 and queries first … first + 15, packed as an A fragment.
template <int Columns, int KeyTiles> __device__ fragment probabilities(const head& h, int row, int first) {
  using offsets = layout<Columns, KeyTiles>;
  const auto query = tile<Columns>::at(offsets::query), key = tile<Columns>::at(offsets::key);
  const auto lse = shared_at<float>(offsets::lse);
  float score[2][4] = {};
#pragma unroll(k_unroll)
  for (int k = 0; k < Columns / 16; ++k) {
    const fragment a = key.load_a(row, 16 * k), b = query.load_b(first, 16 * k);
    mma_m16n8k16(score[0], a, b.words[0], b.words[1]);
    mma_m16n8k16(score[1], a, b.words[2], b.words[3]);
  }
  const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key_token = row + g + 8 * (i / 2), token = first + 8 * n + 2 * t + i % 2;
      const bool visible = key_token < h.tokens && (!h.batch.causal || key_token <= token);
      score[n][i] = visible ? exp2_fast(score[n][i] * (h.batch.scale * log2_e) - lse.load(token)) : 0;
    }
  return pack_operand(score[0], score[1]);
}

/// dSᵀ of the same scores: p (v doutᵀ - delta) / √D.
template <int Columns, int KeyTiles>
__device__ fragment score_gradient(const head& h, int row, int first, const fragment& probability) {
  using offsets = layout<Columns, KeyTiles>;
  const auto value = tile<Columns>::at(offsets::value), d_output = tile<Columns>::at(offsets::d_output);
  const auto delta = shared_at<float>(offsets::delta);
  float gradient[2][4] = {};
#pragma unroll(k_unroll)
  for (int k = 0; k < Columns / 16; ++k) {
    const fragment a = value.load_a(row, 16 * k), b = d_output.load_b(first, 16 * k);
    mma_m16n8k16(gradient[0], a, b.words[0], b.words[1]);
    mma_m16n8k16(gradient[1], a, b.words[2], b.words[3]);
  }
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const int token = first + 8 * n + 2 * (lane_index() % 4);
    const float deltas[2] = {delta.load(token), delta.load(token + 1)};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const pair p = unpack_bf16(probability.words[2 * n + half]);
      float* two = gradient[n] + 2 * half;
      two[0] = p.first * (two[0] - deltas[0]) * h.batch.scale;
      two[1] = p.second * (two[1] - deltas[1]) * h.batch.scale;
    }
  }
  return pack_operand(gradient[0], gradient[1]);
}

// One block per head, with Q, K, V and dO in shared memory. Each warp owns every Warps-th tile of 16 keys and
// keeps their dK and dV in registers. For each chunk of 32 queries it computes Sᵀ and dSᵀ of its keys, dV +=
// Pᵀ dO, dK += dSᵀ Q and stores dSᵀ in shared memory; after one barrier, dQ = dS K over all keys. Without
// atomics, so the result is deterministic, and nothing but the result is written to global memory.
//
// Expected bound: HBM bandwidth; 16 D bytes per token and head (q, k, v, o and dout read, dq, dk and dv
// written). Blocks per SM on sm_90a, for the sizes of attention_backward_resident in their order: 8, 3, 2, 1,
// 1, 1 (D 64); 1 (D 96, D 112).
template <int Columns, int KeyTiles, int Warps>
__global__ void __launch_bounds__(Warps* warp_size) attention_backward_resident_kernel(gradient_arguments p) {
  using offsets = layout<Columns, KeyTiles>;
  using rows = tile<Columns>;
  constexpr int steps = Columns / 16, warp_tiles = (KeyTiles + Warps - 1) / Warps;
  const head h(p.batch, block_index() / p.batch.heads, block_index() % p.batch.heads);
  if (h.tokens == 0 || h.tokens > offsets::tokens) return;
  load_head<Columns, KeyTiles>(p, h);

  const rows query = rows::at(offsets::query), key = rows::at(offsets::key),
             d_output = rows::at(offsets::d_output);
  const int g = lane_index() / 4, t = lane_index() % 4;
  float d_key[warp_tiles][2 * steps][4] = {}, d_value[warp_tiles][2 * steps][4] = {};
  for (int first = 0; first < h.tokens; first += chunk_queries) {
    // The keys visible to these queries.
    const int end = h.batch.causal ? min(first + chunk_queries, h.tokens) : h.tokens;
    const auto d_score =
        tile<chunk_queries>::at(offsets::d_score + first / chunk_queries % 2 * offsets::d_score_bytes);
#pragma unroll 1
    for (int offset = 0; offset < chunk_queries && first + offset < h.tokens; offset += 16)
#pragma unroll
      for (int tile_index = 0; tile_index < warp_tiles; ++tile_index) {
        const int row = 16 * (warp_index() + tile_index * Warps);  // first key of the tile
        if (row >= end) continue;
        // P and dS one after the other: the accumulators leave few registers.
        const fragment probability = probabilities<Columns, KeyTiles>(h, row, first + offset);
        accumulate_product<Columns>(d_value[tile_index], probability, d_output, first + offset);
        const fragment d_scores = score_gradient<Columns, KeyTiles>(h, row, first + offset, probability);
#pragma unroll
        for (int i = 0; i < 4; ++i)
          d_score.store_pair(row + g + 8 * (i % 2), offset + 8 * (i / 2) + 2 * t, d_scores.words[i]);
        accumulate_product<Columns>(d_key[tile_index], d_scores, query, first + offset);
      }
    block_barrier();  // one per chunk suffices: the next chunk writes the other d_score
    for (int item = warp_index(); item < chunk_queries / 16 * steps; item += Warps) {
      const int offset = item / steps * 16, column = item % steps * 16;
      if (first + offset >= h.tokens) break;
      float d_query[2][4] = {};
#pragma unroll 1
      for (int key_token = 0; key_token < end; key_token += 16) {
        const fragment a = d_score.load_a_transposed(key_token, offset),
                       b = key.load_b_transposed(key_token, column);
        mma_m16n8k16(d_query[0], a, b.words[0], b.words[1]);
        mma_m16n8k16(d_query[1], a, b.words[2], b.words[3]);
      }
      store_gradient(p, h, part::query, first + offset, column, d_query[0]);
      store_gradient(p, h, part::query, first + offset, column + 8, d_query[1]);
    }
  }
  // dV first: its stores need no angles, and then free half of the registers.
#pragma unroll
  for (int tile_index = 0; tile_index < warp_tiles; ++tile_index)
#pragma unroll
    for (int n = 0; n < 2 * steps; ++n)
      store_gradient(p, h, part::value, 16 * (warp_index() + tile_index * Warps), 8 * n,
                     d_value[tile_index][n]);
#pragma unroll
  for (int tile_index = 0; tile_index < warp_tiles; ++tile_index)
#pragma unroll
    for (int n = 0; n < 2 * steps; ++n)
      store_gradient(p, h, part::key, 16 * (warp_index() + tile_index * Warps), 8 * n, d_key[tile_index][n]);
}

template <int Columns, int KeyTiles, int Warps> bool start(const gradient_arguments& p, context& c) {
  constexpr int shared_bytes = layout<Columns, KeyTiles>::bytes;
  if (shared_bytes > c.properties.shared_bytes_per_block) return false;
  launch(attention_backward_resident_kernel<Columns, KeyTiles, Warps>, p.batch.sequences * p.batch.heads,
         Warps * warp_size, shared_bytes, c.stream, p);
  return true;
}

}  // namespace

bool attention_backward_resident(const ops::attention_backward::args& a, context& c) {
  const gradient_arguments p = gradient_arguments_of(a);
  const int tokens = p.batch.starts ? longest_resident : p.batch.tokens;
  if (p.batch.head_dim <= 64) {
    if (tokens <= 32) return start<64, 2, 2>(p, c);
    if (tokens <= 80) return start<64, 5, 5>(p, c);
    if (tokens <= 112) return start<64, 7, 4>(p, c);
    if (tokens <= 144) return start<64, 9, 9>(p, c);
    if (tokens <= 208) return start<64, 13, 8>(p, c);
    if (tokens <= 272) return start<64, 17, 8>(p, c);
    return false;
  }
  // With 128 columns the accumulators would not fit in registers.
  if (p.batch.starts || tokens > 144 || p.batch.head_dim > 112) return false;
  if (p.batch.head_dim <= 96) return start<96, 9, 9>(p, c);
  return start<112, 9, 9>(p, c);
}

}  // namespace eva::cuda
