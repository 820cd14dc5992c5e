#include "cuda/attention/attention.h"
#include "cuda/attention/gradient.cuh"
#include "cuda/device/launch.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int chunk_queries = 32;

/// Steps of a product over a head's columns whose operands are loaded ahead: the accumulators of dK and dV
/// leave no registers for more.
constexpr int steps_at_once = 2;

template <int Columns, int KeyTiles> struct layout {  // of shared memory, in bytes
  using rows = tile<Columns>;
  static constexpr int tokens = 16 * KeyTiles, one = rows::bytes(tokens);
  static constexpr int query = 0, key = one, value = 2 * one, d_output = 3 * one;
  static constexpr int d_score = 4 * one, d_score_bytes = tile<chunk_queries>::bytes(tokens);  // two of them
  static constexpr int log_sum = d_score + 2 * d_score_bytes, delta = log_sum + 4 * tokens;
  static constexpr int bytes = delta + 4 * tokens;
};

/// Brings everything of a head to shared memory.
template <int Columns, int KeyTiles> __device__ void load_head(const gradient_arguments& p, const head& h) {
  using place = layout<Columns, KeyTiles>;
  using rows = tile<Columns>;
  const int padded = (h.tokens + 15) / 16 * 16;
  const rows query = rows::at(place::query), key = rows::at(place::key), d_output = rows::at(place::d_output);
  copy_rows(h, query, 0, padded, p.qkv, [&](int token) { return h.qkv(token, part::query); });
  copy_rows(h, key, 0, padded, p.qkv, [&](int token) { return h.qkv(token, part::key); });
  copy_rows(h, rows::at(place::value), 0, padded, p.qkv,
            [&](int token) { return h.qkv(token, part::value); });
  copy_rows(h, d_output, 0, padded, p.dout, [&](int token) { return h.output(token); });
  copy_commit();
  copy_wait<0>();
  rotate_rows(h, query, 0, padded);
  rotate_rows(h, key, 0, padded);
  block_barrier();

  const auto log_sum = shared_at<float>(place::log_sum), delta = shared_at<float>(place::delta);
  for (int first = 0; first < padded; first += block_threads() / 4) {
    const int token = first + thread_index() / 4;
    const float sum = delta_of(p, h, d_output, token, token);
    if (thread_index() % 4 == 0 && token < padded) {
      delta.store(token, sum);
      log_sum.store(token, log_sum_of(p, h, token));
    }
  }
  block_barrier();
}

/// The probabilities [keys, queries] of 16 keys from `row` on and 16 queries from `first` on, as an operand.
template <int Columns, int KeyTiles> __device__ matrices probabilities(const head& h, int row, int first) {
  using place = layout<Columns, KeyTiles>;
  const auto query = tile<Columns>::at(place::query), key = tile<Columns>::at(place::key);
  const auto log_sum = shared_at<float>(place::log_sum);
  float score[2][4] = {};
#pragma unroll(steps_at_once)
  for (int k = 0; k < Columns / 16; ++k) {
    const matrices a = key.load_a(row, 16 * k), b = query.load_b(first, 16 * k);
    multiply_add(score[0], a, b.words[0], b.words[1]);
    multiply_add(score[1], a, b.words[2], b.words[3]);
  }
  const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int from_key = row + g + 8 * (i / 2), token = first + 8 * n + 2 * t + i % 2;
      const bool seen = from_key < h.tokens && (!h.batch.causal || from_key <= token);
      score[n][i] = seen ? exp2_fast(score[n][i] * (h.batch.scale * log2_e) - log_sum.load(token)) : 0;
    }
  return pack_operand(score[0], score[1]);
}

/// The gradients of the same scores: p (v doutᵀ - delta) / √D.
template <int Columns, int KeyTiles>
__device__ matrices gradient_of_scores(const head& h, int row, int first, const matrices& probability) {
  using place = layout<Columns, KeyTiles>;
  const auto value = tile<Columns>::at(place::value), d_output = tile<Columns>::at(place::d_output);
  const auto delta = shared_at<float>(place::delta);
  float gradient[2][4] = {};
#pragma unroll(steps_at_once)
  for (int k = 0; k < Columns / 16; ++k) {
    const matrices a = value.load_a(row, 16 * k), b = d_output.load_b(first, 16 * k);
    multiply_add(gradient[0], a, b.words[0], b.words[1]);
    multiply_add(gradient[1], a, b.words[2], b.words[3]);
  }
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const int token = first + 8 * n + 2 * (lane_index() % 4);
    const float first_delta = delta.load(token), second_delta = delta.load(token + 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const pair p = unpack_bf16(probability.words[2 * n + half]);
      float* two = gradient[n] + 2 * half;
      two[0] = p.first * (two[0] - first_delta) * h.batch.scale;
      two[1] = p.second * (two[1] - second_delta) * h.batch.scale;
    }
  }
  return pack_operand(gradient[0], gradient[1]);
}

// A block holds one head's Q, K, V, dO; a warp owns every Warps-th tile of 16 keys and their dK, dV in
// registers. For 32 queries at a time: Sᵀ and dSᵀ of the own keys, dV += Pᵀ dO, dK += dSᵀ Q, dSᵀ to shared
// memory, and after one barrier dQ = dS K over all keys. No atomics, nothing but the result goes to global
// memory, the same bits every time.
template <int Columns, int KeyTiles, int Warps>
__global__ void __launch_bounds__(Warps* warp_lanes)
    attention_backward_resident_kernel(gradient_arguments p) {
  using place = layout<Columns, KeyTiles>;
  using rows = tile<Columns>;
  constexpr int steps = Columns / 16, own_tiles = (KeyTiles + Warps - 1) / Warps;
  const head h(p.batch, block_index() / p.batch.heads, block_index() % p.batch.heads);
  if (h.tokens == 0 || h.tokens > place::tokens) return;
  load_head<Columns, KeyTiles>(p, h);

  const rows query = rows::at(place::query), key = rows::at(place::key), d_output = rows::at(place::d_output);
  const int g = lane_index() / 4, t = lane_index() % 4;
  float d_key[own_tiles][2 * steps][4] = {}, d_value[own_tiles][2 * steps][4] = {};
  for (int first = 0; first < h.tokens; first += chunk_queries) {
    // Keys that these queries may see.
    const int end = h.batch.causal ? min(first + chunk_queries, h.tokens) : h.tokens;
    const auto d_score =
        tile<chunk_queries>::at(place::d_score + first / chunk_queries % 2 * place::d_score_bytes);
#pragma unroll 1
    for (int offset = 0; offset < chunk_queries && first + offset < h.tokens; offset += 16)
#pragma unroll
      for (int own = 0; own < own_tiles; ++own) {
        const int row = 16 * (warp_index() + own * Warps);  // first key of the tile
        if (row >= end) continue;
        // One after the other: the accumulators leave few registers for anything else.
        const matrices probability = probabilities<Columns, KeyTiles>(h, row, first + offset);
        add_product<Columns>(d_value[own], probability, d_output, first + offset);
        const matrices d_scores = gradient_of_scores<Columns, KeyTiles>(h, row, first + offset, probability);
#pragma unroll
        for (int i = 0; i < 4; ++i)
          d_score.store_pair(row + g + 8 * (i % 2), offset + 8 * (i / 2) + 2 * t, d_scores.words[i]);
        add_product<Columns>(d_key[own], d_scores, query, first + offset);
      }
    block_barrier();  // one a chunk suffices: the next chunk writes the other d_score
    for (int item = warp_index(); item < chunk_queries / 16 * steps; item += Warps) {
      const int offset = item / steps * 16, column = item % steps * 16;
      if (first + offset >= h.tokens) break;
      float d_query[2][4] = {};
#pragma unroll 1
      for (int from_key = 0; from_key < end; from_key += 16) {
        const matrices a = d_score.load_a_transposed(from_key, offset),
                       b = key.load_b_transposed(from_key, column);
        multiply_add(d_query[0], a, b.words[0], b.words[1]);
        multiply_add(d_query[1], a, b.words[2], b.words[3]);
      }
      store_gradient(p, h, part::query, first + offset, column, d_query[0]);
      store_gradient(p, h, part::query, first + offset, column + 8, d_query[1]);
    }
  }
  // dV first: its stores need no angles, and free half of the registers.
#pragma unroll
  for (int own = 0; own < own_tiles; ++own)
#pragma unroll
    for (int n = 0; n < 2 * steps; ++n)
      store_gradient(p, h, part::value, 16 * (warp_index() + own * Warps), 8 * n, d_value[own][n]);
#pragma unroll
  for (int own = 0; own < own_tiles; ++own)
#pragma unroll
    for (int n = 0; n < 2 * steps; ++n)
      store_gradient(p, h, part::key, 16 * (warp_index() + own * Warps), 8 * n, d_key[own][n]);
}

template <int Columns, int KeyTiles, int Warps> bool start(const gradient_arguments& p, context& c) {
  constexpr int shared_bytes = layout<Columns, KeyTiles>::bytes;
  if (shared_bytes > c.properties.shared_bytes_per_block) return false;
  launch(attention_backward_resident_kernel<Columns, KeyTiles, Warps>, p.batch.sequences * p.batch.heads,
         Warps * warp_lanes, shared_bytes, c.stream, p);
  return true;
}

}  // namespace

bool differentiate_resident(const ops::attention_backward::args& a, context& c) {
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
  // With 128 columns the accumulators would not fit.
  if (p.batch.starts || tokens > 144 || p.batch.head_dim > 112) return false;
  if (p.batch.head_dim <= 96) return start<96, 9, 9>(p, c);
  return start<112, 9, 9>(p, c);
}

}  // namespace eva::cuda
