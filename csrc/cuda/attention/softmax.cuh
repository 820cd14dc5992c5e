#pragma once
// The pieces of forward attention that a warp does for its 16 queries: scores of all keys of a block in
// registers, their softmax, and the weighted values.

#include "cuda/attention/head.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

// In fragments, g = lane / 4 is the row (and g + 8), t = lane % 4 the pair of columns.

/// score [16, 16 KeyTiles] = q kᵀ for the warp's queries from `row` of their tile on. Key tiles from `keys`
/// on are left alone. The columns are the outer loop: one fragment of q then lives at a time.
template <int Columns, int KeyTiles>
__device__ void multiply_scores(float (&score)[2 * KeyTiles][4], tile<Columns> query, int row,
                                tile<Columns> key, int keys) {
  if (keys <= 0) return;
#pragma unroll
  for (int k = 0; k < Columns / 16; ++k) {
    const device::matrices a = query.load_a(row, 16 * k);
#pragma unroll
    for (int j = 0; j < KeyTiles; ++j) {
      if (16 * j >= keys) continue;
      const device::matrices b = key.load_b(16 * j, 16 * k);
      device::multiply_add(score[2 * j], a, b.words[0], b.words[1]);
      device::multiply_add(score[2 * j + 1], a, b.words[2], b.words[3]);
    }
  }
}

/// The largest score of the lane's row g + 8 half among keys 0 … last, the others becoming -∞.
template <int KeyTiles>
__device__ float mask_and_maximum(float (&score)[2 * KeyTiles][4], int half, int last) {
  float maximum = -INFINITY;
#pragma unroll
  for (int j = 0; j < 2 * KeyTiles; ++j)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float& s = score[j][2 * half + i];
      s = 8 * j + 2 * (device::lane_index() % 4) + i <= last ? s : -INFINITY;
      maximum = fmaxf(maximum, s);
    }
  return device::quad_max(maximum);
}

/// probability = 2^(score · factor - maximum) in pairs for the row g + 8 half; returns the lane's part of
/// their sum.
template <int KeyTiles>
__device__ float exponentiate(uint32_t (&probability)[2 * KeyTiles][2], const float (&score)[2 * KeyTiles][4],
                              int half, float factor, float maximum) {
  float sum = 0;
#pragma unroll
  for (int j = 0; j < 2 * KeyTiles; ++j) {
    const float first = device::exp2_fast(score[j][2 * half] * factor - maximum);
    const float second = device::exp2_fast(score[j][2 * half + 1] * factor - maximum);
    sum += first + second;
    probability[j][half] = device::pack_bf16(first, second);
  }
  return sum;
}

/// out [16, Columns] += probability · v
template <int Columns, int KeyTiles>
__device__ void add_weighted_values(float (&out)[Columns / 8][4],
                                    const uint32_t (&probability)[2 * KeyTiles][2], tile<Columns> value,
                                    int keys) {
#pragma unroll
  for (int j = 0; j < KeyTiles; ++j) {
    if (16 * j >= keys) continue;
    const device::matrices a{
        {probability[2 * j][0], probability[2 * j][1], probability[2 * j + 1][0], probability[2 * j + 1][1]}};
#pragma unroll
    for (int n = 0; n < Columns / 16; ++n) {
      const device::matrices b = value.load_b_transposed(16 * j, 16 * n);
      device::multiply_add(out[2 * n], a, b.words[0], b.words[1]);
      device::multiply_add(out[2 * n + 1], a, b.words[2], b.words[3]);
    }
  }
}

/// Writes the warp's rows of the output, out / sum, by way of its own query rows in shared memory, so that
/// the stores are 16 bytes wide; and ln Σ e^score from the maximum and the sum of powers of two.
template <int Columns>
__device__ void store_rows(const head& h, tile<Columns> query, int row, int token,
                           const float (&out)[Columns / 8][4], const float (&maximum)[2],
                           const float (&sum)[2], device::bf16* output, float* log_sum) {
  const int g = device::lane_index() / 4, t = device::lane_index() % 4, chunks = h.batch.head_dim / 8;
  if (output) {
    device::warp_barrier();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float reciprocal = 1 / sum[half];
#pragma unroll
      for (int n = 0; n < Columns / 8; ++n)
        query.store_pair(row + g + 8 * half, 8 * n + 2 * t,
                         device::pack_bf16(out[n][2 * half] * reciprocal, out[n][2 * half + 1] * reciprocal));
    }
    device::warp_barrier();
    for (int i = device::lane_index(); i < 16 * chunks; i += device::warp_lanes) {
      const int line = i / chunks, chunk = i % chunks;
      if (token + line < h.tokens)
        device::store_16(output + h.output(token + line) + 8 * chunk, query.load_chunk(row + line, chunk));
    }
  }
  if (!log_sum || t != 0) return;
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (token + g + 8 * half < h.tokens)
      log_sum[h.log_sum(token + g + 8 * half)] = (maximum[half] + device::log2_fast(sum[half])) / log2_e;
}

}  // namespace eva::cuda
