#pragma once
// One head of one sequence: the offsets of its rows in the packed tensors, and the loads into shared memory.

#include "cuda/base_2.h"
#include "cuda/device/math.cuh"
#include "cuda/tile.cuh"
#include "ops/attention.h"

namespace eva::cuda {

/// The kernel arguments that attention and its gradient share. Each sequence has `tokens` rows; in a packed
/// batch, sequence b is rows starts[b] … starts[b + 1] - 1 of `rows`.
struct attention_batch {
  const int* starts;     // [B + 1]; null in a dense batch
  const float* rope;     // [G, D / 4, 2]: (cos, sin); null without RoPE
  const int* positions;  // [B, N - 1]: the patch of each token; null without patch dropout
  int grid;              // G
  int sequences, tokens, rows, heads, head_dim;
  bool causal;
  float scale;  // 1 / √D

  template <class Args> explicit attention_batch(const Args& a);
};

template <class Args>
attention_batch::attention_batch(const Args& a)
    : starts(a.cu_seqlens.present() ? a.cu_seqlens.template as<const int>() : nullptr),
      rope(a.rope.present() ? a.rope.template as<const float>() : nullptr),
      positions(a.positions.present() ? a.positions.template as<const int>() : nullptr),
      grid(a.rope.present() ? int(a.rope.dim(0)) : 1),
      sequences(int(starts ? a.cu_seqlens.size() - 1 : a.qkv.dim(0))),
      tokens(int(starts ? 0 : a.qkv.dim(1))),
      rows(int(a.qkv.rows())),
      heads(int(a.heads)),
      head_dim(int(a.qkv.columns() / (3 * a.heads))),
      causal(a.causal),
      scale(1.0f / std::sqrt(float(head_dim))) {}

enum class part { query, key, value };

struct head {
  const attention_batch& batch;
  int sequence, index;
  int first_row, tokens;  // the row of its first token, and the number of tokens

  __device__ head(const attention_batch& b, int of_sequence, int of_head)
      : batch(b), sequence(of_sequence), index(of_head), first_row(sequence * b.tokens), tokens(b.tokens) {
    if (!b.starts) return;
    // Clamped, so that invalid starts read and write no row outside the tensors.
    first_row = min(max(b.starts[sequence], 0), b.rows);
    tokens = min(max(b.starts[sequence + 1] - first_row, 0), b.rows - first_row);
  }

  __device__ size_t qkv(int token, part which) const {  // element of [rows, 3, H, D]
    return ((size_t(first_row + token) * 3 + size_t(which)) * size_t(batch.heads) + size_t(index)) *
           size_t(batch.head_dim);
  }
  __device__ size_t output(int token) const {  // element of [rows, H, D]
    return (size_t(first_row + token) * size_t(batch.heads) + size_t(index)) * size_t(batch.head_dim);
  }
  __device__ size_t lse(int token) const {  // element of [rows, H]
    return size_t(first_row + token) * size_t(batch.heads) + size_t(index);
  }

  __device__ bool has_rope(int token) const { return batch.rope && token > 0; }

  /// The angles of a token's columns from `column` on: (cos, sin) pairs, D / 2 floats per coordinate. The
  /// first half of a head is rotated by the patch's row, the second half by its column.
  __device__ const float* angles(int token, int column) const {
    int patch = token - 1;
    if (batch.positions) {
      const int given = batch.positions[size_t(sequence) * size_t(batch.tokens - 1) + size_t(patch)];
      patch = min(max(given, 0), batch.grid * batch.grid - 1);
    }
    const int half = batch.head_dim / 2, row = patch / batch.grid;
    return batch.rope + (column < half ? row * half : (patch - row * batch.grid - 1) * half) + column;
  }
};

/// (a, b) → (a cos - b sin, b cos + a sin)
__device__ inline device::pair rotate(device::pair x, float cosine, float sine) {
  return {x.first * cosine - x.second * sine, x.second * cosine + x.first * sine};
}

/// The gradient of a query or key before RoPE, from the gradient after it: the transposed rotation.
__device__ inline device::pair apply_inverse_rope(const head& h, device::pair x, int token, int column) {
  if (!h.has_rope(token)) return x;
  const float* angle = h.angles(token, column);
  return rotate(x, angle[0], -angle[1]);
}

/// Starts the asynchronous copies of tokens begin … begin + count - 1 to rows 0 … count - 1 of a tile, with
/// zeros beyond the last token and the last column. row_of(token): the offset of the token's row in `source`.
template <int Columns, class RowOf>
__device__ void copy_rows(const head& h, tile<Columns> to, int begin, int count, const device::bf16* source,
                          RowOf row_of) {
  constexpr int chunks = Columns / 8;
  for (int i = device::thread_index(); i < count * chunks; i += device::block_threads()) {
    const int row = i / chunks, chunk = i % chunks, token = begin + row;
    const bool valid = token < h.tokens && 8 * chunk < h.batch.head_dim;
    device::copy_async_16(to.data, to.element(row, chunk),
                          source + (valid ? row_of(token) + size_t(8 * chunk) : 0), valid);
  }
}

/// Applies RoPE in place to the chunks this thread itself copied (same mapping as copy_rows), so copy_wait
/// suffices and no barrier is needed. The angle table is small and stays in L1.
template <int Columns> __device__ void apply_rope(const head& h, tile<Columns> x, int begin, int count) {
  constexpr int chunks = Columns / 8;
  if (!h.batch.rope) return;
  for (int i = device::thread_index(); i < count * chunks; i += device::block_threads()) {
    const int row = i / chunks, chunk = i % chunks, token = begin + row;
    if (token == 0 || token >= h.tokens || 8 * chunk >= h.batch.head_dim) continue;
    device::vector16 v = x.load_chunk(row, chunk);
    // Per half of a chunk: with a head dimension such as 88, the middle of the head is inside a chunk.
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float* angle = h.angles(token, 8 * chunk + 4 * half);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        uint32_t& word = v.words[2 * half + j];
        const device::pair rotated = rotate(device::unpack_bf16(word), angle[2 * j], angle[2 * j + 1]);
        word = device::pack_bf16(rotated.first, rotated.second);
      }
    }
    x.store_chunk(row, chunk, v);
  }
}

/// The accumulators (C) of two adjacent column tiles, packed as the A fragment of the next MMA.
__device__ inline device::fragment pack_operand(const float (&left)[4], const float (&right)[4]) {
  return {{device::pack_bf16(left[0], left[1]), device::pack_bf16(left[2], left[3]),
           device::pack_bf16(right[0], right[1]), device::pack_bf16(right[2], right[3])}};
}

}  // namespace eva::cuda
