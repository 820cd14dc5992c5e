#pragma once
// One head of one sequence: its rows in the packed tensors, and their way into and out of shared memory.

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

/// A head's rows of D elements in a tensor: token i's row is `pitch` elements after that of token i - 1.
template <class T> struct head_rows {
  T* first;
  int pitch;

  __device__ T* row(int token) const { return first + size_t(token) * size_t(pitch); }
};

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

  /// Its q, k or v in a tensor [rows, 3, H, D].
  template <class T> __device__ head_rows<T> rows_of(T* qkv, part which) const {
    const int width = batch.heads * batch.head_dim;
    return {qkv + size_t(first_row) * size_t(3 * width) + size_t(int(which) * width + index * batch.head_dim),
            3 * width};
  }
  /// Its rows in a tensor [rows, H, D].
  template <class T> __device__ head_rows<T> rows_of(T* output) const {
    const int width = batch.heads * batch.head_dim;
    return {output + size_t(first_row) * size_t(width) + size_t(index * batch.head_dim), width};
  }
  __device__ size_t lse(int token) const {  // element of [rows, H]
    return size_t(first_row + token) * size_t(batch.heads) + size_t(index);
  }
};

/// Starts the asynchronous copies of tokens begin … begin + count - 1 to rows 0 … count - 1 of a tile, with
/// zeros beyond the last token and the last column.
template <int Columns>
__device__ void copy_rows(const head& h, tile<Columns> to, int begin, int count,
                          head_rows<const device::bf16> from) {
  constexpr int chunks = Columns / 8;
  for (int i = device::thread_index(); i < count * chunks; i += device::block_threads()) {
    const int row = i / chunks, chunk = i % chunks, token = begin + row;
    const bool valid = token < h.tokens && 8 * chunk < h.batch.head_dim;
    device::copy_async_16(to.data, to.element(row, chunk),
                          from.row(valid ? token : 0) + (valid ? 8 * chunk : 0), valid);
  }
}

/// Rounds accumulators [16, 8 Tiles] to bf16 in rows row … row + 15 of a tile, columns `column` ….
template <int Columns, int Tiles>
__device__ void store_accumulators(tile<Columns> to, int row, int column, const float (&x)[Tiles][4]) {
  const int g = device::lane_index() / 4, t = device::lane_index() % 4;
#pragma unroll
  for (int n = 0; n < Tiles; ++n)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      to.store_pair(row + g + 8 * half, column + 8 * n + 2 * t,
                    device::pack_bf16(x[n][2 * half], x[n][2 * half + 1]));
}

/// How the lanes of a warp share the 16-byte chunks of a few adjacent rows, so that a row's chunks are stored
/// together. A lane has the same chunk of every `rows`-th row; the last lanes may have none.
template <int Columns> struct lane_chunks {
  static constexpr int chunks = Columns / 8, rows = device::warp_size / chunks;

  __device__ static int chunk() { return device::lane_index() % chunks; }
  __device__ static int first_row() { return device::lane_index() / chunks; }
};

/// Stores rows row … row + 15 of a tile, which are tokens token … token + 15, 16 bytes per lane at a time.
/// visit(chunk): called with each chunk that this lane stores.
template <int Columns, class Visit>
__device__ void store_rows(const head& h, tile<Columns> from, int row, int token, head_rows<device::bf16> to,
                           const Visit& visit) {
  using lanes = lane_chunks<Columns>;
  const int chunk = lanes::chunk();
  if (lanes::first_row() >= lanes::rows || 8 * chunk >= h.batch.head_dim) return;
#pragma unroll
  for (int first = 0; first < 16; first += lanes::rows) {
    const int offset = first + lanes::first_row();
    if (token + offset >= h.tokens) break;
    const device::vector16 v = from.load_chunk(row + offset, chunk);
    device::store_16(to.row(token + offset) + 8 * chunk, v);
    visit(v);
  }
}

/// The accumulators (C) of two adjacent column tiles, packed as the A fragment of the next MMA.
__device__ inline device::fragment pack_operand(const float (&left)[4], const float (&right)[4]) {
  return {{device::pack_bf16(left[0], left[1]), device::pack_bf16(left[2], left[3]),
           device::pack_bf16(right[0], right[1]), device::pack_bf16(right[2], right[3])}};
}

}  // namespace eva::cuda
