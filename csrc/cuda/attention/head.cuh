#pragma once
// One head of one sequence: where its rows lie in the packed tensors, and how they come to shared memory.

#include "cuda/device/math.cuh"
#include "cuda/tile.cuh"
#include "ops/attention.h"

namespace eva::cuda {

inline constexpr float log2_e = 1.44269504f;

/// What attention and its gradient have in common, as kernels see it. Sequences are of `tokens` rows each,
/// or, in a packed batch, from starts[b] to starts[b + 1] of `rows`.
struct attention_batch {
  const int* starts;     // [B + 1], null in a dense batch
  const float* rope;     // [G, D / 4, 2], null for none
  const int* positions;  // [B, N - 1], null when no tokens were dropped
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
  int first, tokens;  // row of its first token; their number

  __device__ head(const attention_batch& b, int of_sequence, int of_head)
      : batch(b), sequence(of_sequence), index(of_head), first(sequence * b.tokens), tokens(b.tokens) {
    if (!b.starts) return;
    // Whatever the lengths hold, only rows that exist are touched.
    first = min(max(b.starts[sequence], 0), b.rows);
    tokens = min(max(b.starts[sequence + 1] - first, 0), b.rows - first);
  }

  __device__ size_t qkv(int token, part which) const {  // element of [rows, 3, H, D]
    return ((size_t(first + token) * 3 + size_t(which)) * size_t(batch.heads) + size_t(index)) *
           size_t(batch.head_dim);
  }
  __device__ size_t output(int token) const {  // element of [rows, H, D]
    return (size_t(first + token) * size_t(batch.heads) + size_t(index)) * size_t(batch.head_dim);
  }
  __device__ size_t log_sum(int token) const {  // element of [rows, H]
    return size_t(first + token) * size_t(batch.heads) + size_t(index);
  }

  __device__ bool rotates(int token) const { return batch.rope && token > 0; }

  /// Where the angles of a token's columns from `column` on begin: D / 2 floats a coordinate, cosine and sine
  /// in turn; the first half of a head turns by the patch's row, the second by its column.
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

/// The gradient of a query or key before rotation, from that of the rotated one.
__device__ inline device::pair rotate_back(const head& h, device::pair x, int token, int column) {
  if (!h.rotates(token)) return x;
  const float* angle = h.angles(token, column);
  return rotate(x, angle[0], -angle[1]);
}

/// Starts copying the rows of tokens from `begin` on to a tile's rows 0 … count - 1; what is no token or no
/// column becomes zero. row_of(token) is the row's element in source.
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

/// Turns the chunks of queries or keys that this very thread copied with copy_rows, after its copy_wait;
/// needs no barrier. The table is small and stays in the first-level cache.
template <int Columns> __device__ void rotate_rows(const head& h, tile<Columns> x, int begin, int count) {
  constexpr int chunks = Columns / 8;
  if (!h.batch.rope) return;
  for (int i = device::thread_index(); i < count * chunks; i += device::block_threads()) {
    const int row = i / chunks, chunk = i % chunks, token = begin + row;
    if (token == 0 || token >= h.tokens || 8 * chunk >= h.batch.head_dim) continue;
    device::vector16 v = x.load_chunk(row, chunk);
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // of a head dimension such as 88 the middle lies within a chunk
      const float* angle = h.angles(token, 8 * chunk + 4 * half);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        uint32_t& word = v.words[2 * half + j];
        const device::pair turned = rotate(device::unpack_bf16(word), angle[2 * j], angle[2 * j + 1]);
        word = device::pack_bf16(turned.first, turned.second);
      }
    }
    x.store_chunk(row, chunk, v);
  }
}

/// C of two neighbouring column tiles → A of the next product.
__device__ inline device::matrices pack_operand(const float (&left)[4], const float (&right)[4]) {
  return {{device::pack_bf16(left[0], left[1]), device::pack_bf16(left[2], left[3]),
           device::pack_bf16(right[0], right[1]), device::pack_bf16(right[2], right[3])}};
}

}  // namespace eva::cuda
