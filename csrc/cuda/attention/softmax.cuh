#pragma once
// Warp-level pieces of forward attention for 16 queries: the scores of all keys of a tile in registers, their
// softmax, and the product of probabilities and values.

#include "cuda/attention/rope.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

// In accumulator fragments, g = lane / 4 is the row (half 0; g + 8 is half 1), t = lane % 4 the pair of
// columns.

/// score [16, 16 KeyTiles] = q kᵀ of queries row … row + 15. Key tiles from `keys` on are skipped. The head's
/// columns are the outer loop, so that only one fragment of q is live at a time.
template <int Columns, int KeyTiles>
__device__ void multiply_scores(float (&score)[2 * KeyTiles][4], tile<Columns> query, int row,
                                tile<Columns> key, int keys) {
  if (keys <= 0) return;
#pragma unroll
  for (int k = 0; k < Columns / 16; ++k) {
    const device::fragment a = query.load_a(row, 16 * k);
#pragma unroll
    for (int j = 0; j < KeyTiles; ++j) {
      if (16 * j >= keys) continue;
      const device::fragment b = key.load_b(16 * j, 16 * k);
      device::mma_m16n8k16(score[2 * j], a, b.words[0], b.words[1]);
      device::mma_m16n8k16(score[2 * j + 1], a, b.words[2], b.words[3]);
    }
  }
}

/// Sets the scores of keys after `last` in row g + 8 half to -∞, and returns the row's largest score.
template <int KeyTiles>
__device__ float mask_and_row_max(float (&score)[2 * KeyTiles][4], int half, int last) {
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

/// probability = 2^(score · factor - maximum) of row g + 8 half, packed in pairs; returns the lane's part of
/// their sum.
template <int KeyTiles>
__device__ float exponentiate_row(uint32_t (&probability)[2 * KeyTiles][2],
                                  const float (&score)[2 * KeyTiles][4], int half, float factor,
                                  float maximum) {
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

/// out [16, Columns] += probability · v, skipping the key tiles from `keys` on.
template <int Columns, int KeyTiles>
__device__ void add_weighted_values(float (&out)[Columns / 8][4],
                                    const uint32_t (&probability)[2 * KeyTiles][2], tile<Columns> value,
                                    int keys) {
#pragma unroll
  for (int j = 0; j < KeyTiles; ++j) {
    if (16 * j >= keys) continue;
    const device::fragment a{
        {probability[2 * j][0], probability[2 * j][1], probability[2 * j + 1][0], probability[2 * j + 1][1]}};
#pragma unroll
    for (int n = 0; n < Columns / 16; ++n) {
      const device::fragment b = value.load_b_transposed(16 * j, 16 * n);
      device::mma_m16n8k16(out[2 * n], a, b.words[0], b.words[1]);
      device::mma_m16n8k16(out[2 * n + 1], a, b.words[2], b.words[3]);
    }
  }
}

/// Writes the warp's output rows, out / sum, through its query rows in shared memory, so that the stores are
/// 16 bytes wide; and lse = ln Σ e^score, from the base-2 maximum and sum.
template <int Columns>
__device__ void store_output(const head& h, tile<Columns> query, int row, int token,
                             float (&out)[Columns / 8][4], const float (&maximum)[2], const float (&sum)[2],
                             device::bf16* output, float* lse) {
  const int g = device::lane_index() / 4, t = device::lane_index() % 4;
  if (output) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float reciprocal = 1 / sum[half];
#pragma unroll
      for (int n = 0; n < Columns / 8; ++n) {
        out[n][2 * half] *= reciprocal;
        out[n][2 * half + 1] *= reciprocal;
      }
    }
    device::warp_barrier();
    store_accumulators(query, row, 0, out);
    device::warp_barrier();
    store_rows(h, query, row, token, h.rows_of(output), [](const device::vector16&) {});
  }
  if (!lse || t != 0) return;
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (token + g + 8 * half < h.tokens)
      lse[h.lse(token + g + 8 * half)] = (maximum[half] + device::log2_fast(sum[half])) / log2_e;
}

}  // namespace eva::cuda
