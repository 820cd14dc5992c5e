#pragma once
// 2D RoPE (Fang et al. 2023, EVA-02) of rows in shared memory and of accumulators.

#include <bit>

#include "cuda/attention/head.cuh"

namespace eva::cuda {

/// The grid coordinates of a token's patch as a pair of int16: the row is the low half.
__device__ inline uint32_t grid_position(const head& h, int token) {
  const attention_batch& b = h.batch;
  int patch = token - 1;
  if (b.positions) {
    const int given =
        device::load_constant(b.positions + size_t(h.sequence) * size_t(b.tokens - 1) + size_t(patch));
    patch = min(max(given, 0), b.grid * b.grid - 1);
  }
  const int row = patch / b.grid;
  return uint32_t(row) | uint32_t(patch - row * b.grid) << 16;
}

/// Whether a token is rotated: every one but the class token.
__device__ inline bool has_rope(const head& h, int token) {
  return h.batch.rope && token > 0 && token < h.tokens;
}

/// The grid positions of a head's tokens in shared memory, so that each is computed once per block.
struct grid_positions {
  device::shared_array<uint32_t> data;  // [tokens]

  static __host__ __device__ constexpr int bytes(int tokens) { return 4 * tokens; }

  /// Visible to the block after a barrier.
  __device__ void compute(const head& h) const {
    for (int token = device::thread_index(); token < h.tokens; token += device::block_threads())
      if (has_rope(h, token)) data.store(token, grid_position(h, token));
  }
  __device__ uint32_t of(const head&, int token) const { return data.load(token); }
};

/// Computes them where they are needed: for sequences of any length.
struct computed_positions {
  __device__ uint32_t of(const head& h, int token) const { return grid_position(h, token); }
};

/// The angles of one rotated token: the first half of a head's columns turns with the patch's row, the second
/// with its column.
class token_angles {
 public:
  __device__ token_angles(const head& h, uint32_t position)
      : rope_(h.batch.rope),
        half_(h.batch.head_dim / 2),
        row_(int(position & 0xffffu) * half_),
        column_((int(position >> 16) - 1) * half_) {}

  /// (cos, sin) of columns `column`, `column` + 1 and the pairs that follow in the same half.
  __device__ const float* at(int column) const {
    return rope_ + ((column < half_ ? row_ : column_) + column);
  }

 private:
  const float* __restrict__ rope_;
  int half_, row_, column_;
};

/// (a, b) → (a cos - b sin, b cos + a sin)
__device__ inline device::pair rotate(device::pair x, float cosine, float sine) {
  return {x.first * cosine - x.second * sine, x.second * cosine + x.first * sine};
}

/// Applies RoPE in place to the chunks of tokens begin … begin + count - 1 that this thread itself copied
/// (same mapping as copy_rows), so that copy_wait suffices and no barrier is needed. All tiles hold the same
/// tokens.
template <class Positions, int Columns, class... Tiles>
__device__ void apply_rope(const head& h, Positions positions, int begin, int count, tile<Columns> x,
                           Tiles... others) {
  constexpr int chunks = Columns / 8;
  if (!h.batch.rope) return;
  for (int i = device::thread_index(); i < count * chunks; i += device::block_threads()) {
    const int row = i / chunks, chunk = i % chunks, token = begin + row;
    if (!has_rope(h, token) || 8 * chunk >= h.batch.head_dim) continue;
    const token_angles angles(h, positions.of(h, token));
    // Per half of a chunk: with a head dimension such as 88, the middle of the head is inside a chunk.
    const device::vector16 halves[2] = {device::load_constant_16(angles.at(8 * chunk)),
                                        device::load_constant_16(angles.at(8 * chunk + 4))};
    const auto rotate_chunk = [&](tile<Columns> of) {
      device::vector16 v = of.load_chunk(row, chunk);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const uint32_t* angle = halves[j / 2].words + 2 * (j % 2);
        const device::pair rotated = rotate(device::unpack_bf16(v.words[j]), std::bit_cast<float>(angle[0]),
                                            std::bit_cast<float>(angle[1]));
        v.words[j] = device::pack_bf16(rotated.first, rotated.second);
      }
      of.store_chunk(row, chunk, v);
    };
    rotate_chunk(x);
    (rotate_chunk(others), ...);
  }
}

/// The gradient of a query or key before RoPE, from the gradient after it: the transposed rotation, in place.
/// x: 16 tokens from `token` on, `Tiles` accumulators of 8 columns from `column` on.
template <class Positions, int Tiles>
__device__ void apply_inverse_rope(const head& h, Positions positions, float (&x)[Tiles][4], int token,
                                   int column) {
  if (!h.batch.rope) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = token + device::lane_index() / 4 + 8 * half;
    if (!has_rope(h, row)) continue;
    const token_angles angles(h, positions.of(h, row));
#pragma unroll
    for (int n = 0; n < Tiles; ++n) {
      const int at = column + 8 * n + 2 * (device::lane_index() % 4);
      if (at >= h.batch.head_dim) break;
      const device::pair angle = device::load_constant_8(angles.at(at));
      float* two = x[n] + 2 * half;
      const device::pair back = rotate({two[0], two[1]}, angle.first, -angle.second);
      two[0] = back.first;
      two[1] = back.second;
    }
  }
}

}  // namespace eva::cuda
