#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/index_check.cuh"
#include "cuda/kernel.h"
#include "cuda/scatter/scatter_rows.cuh"
#include "ops/embedding.h"

namespace eva::cuda {
namespace {

using namespace device;

/// Twelve blocks per SM, all the threads of most GPUs: 40 registers; with 32, ptxas spills.
constexpr int threads = 128, blocks_per_multiprocessor = 12;

// Index rules of embedding and its gradient.
constexpr int starts_rule = 0, tokens_rule = 1;

template <class Args> index_check check_of(const char* op, const Args& a, const context& c) {
  return {c,
          op,
          &a,
          {{"cu_seqlens", a.tokens.size(), std::max(int64_t(1), a.positions.dim(0))},
           {"tokens", a.table.dim(0)}}};
}

/// Packed sequences. Bounds are clamped to 0 … tokens, so that invalid cu_seqlens access nothing outside.
struct packed_sequences {
  const int32_t* cu_seqlens;  // [count + 1]
  int64_t count, tokens;

  __device__ int64_t bound(int64_t sequence) const {
    return min(max(int64_t(cu_seqlens[sequence]), int64_t(0)), tokens);
  }
};

packed_sequences sequences_of(const tensor& cu_seqlens, const tensor& tokens) {
  return {cu_seqlens.as<int32_t>(), cu_seqlens.size() - 1, tokens.size()};
}

/// The tables of embedding; ids and positions out of range give NaN.
template <class Table> struct lookup {
  const Table* table;      // [vocabulary, columns]
  const float* positions;  // [context_length, columns]
  int64_t context_length, columns;
  index_check check;

  /// The embedding of token t, which is at `place` in its sequence.
  template <int Count>
  __device__ void row(const int32_t* tokens, int64_t t, int64_t place, int64_t column,
                      float (&values)[Count]) const {
    const int64_t token = tokens[t];
    if (!check.holds(tokens_rule, t, token) || place >= context_length) {
      for (float& value : values) value = NAN;
      return;
    }
    float position[Count];
    load_elements(table + token * columns + column, values);
    load_elements(positions + place * columns + column, position);
    for (int j = 0; j < Count; ++j) values[j] += position[j];
  }
};

// One block per sequence; all blocks also zero the padding after the last sequence.
// Expected bound: HBM bandwidth; reads one row of the table per token and writes y.
template <int Width, class Table, class T>
__global__ void __launch_bounds__(threads, blocks_per_multiprocessor)
    embedding_kernel(packed_sequences sequences, const int32_t* tokens, lookup<Table> from, T* y) {
  from.check.check_starts(starts_rule, sequences.cu_seqlens, sequences.count + 1);
  for (int64_t b = block_index(); b < sequences.count; b += grid_blocks()) {
    const int64_t begin = sequences.bound(b), end = sequences.bound(b + 1);
    for_groups_of_row<Width>((end - begin) * from.columns, [&](int64_t i) {
      const int64_t place = i / from.columns, column = i % from.columns;
      float values[Width];
      from.row(tokens, begin + place, place, column, values);
      store_elements(y + (begin + place) * from.columns + column, values);
    });
  }
  const int64_t end = sequences.bound(sequences.count);
  for_groups<Width>((sequences.tokens - end) * from.columns, [&]<int Count>(int64_t i, width<Count>) {
    const float zeros[Count] = {};
    store_elements(y + end * from.columns + i, zeros);
  });
}

__global__ void __launch_bounds__(threads)
    check_starts_kernel(index_check check, packed_sequences sequences) {
  check.check_starts(starts_rule, sequences.cu_seqlens, sequences.count + 1);
}

struct tokens_in_sequences {
  const int32_t* tokens;
  packed_sequences sequences;
  index_check check;

  __device__ scattered operator()(int t) const {
    const bool is_valid = t < sequences.bound(sequences.count) && check.holds(tokens_rule, t, tokens[t]);
    return {t, is_valid ? tokens[t] : -1};
  }
};

struct places_in_sequences {
  packed_sequences sequences;
  int64_t context_length;

  __device__ scattered operator()(int t) const {
    if (t >= sequences.bound(sequences.count)) return {t, -1};
    int64_t sequence = 0, end = sequences.count;  // the last one that begins at t or before is in this range
    while (end - sequence > 1) {
      const int64_t middle = (sequence + end) / 2;
      (sequences.bound(middle) <= t ? sequence : end) = middle;
    }
    const int64_t place = t - sequences.bound(sequence);
    return {t, 0 <= place && place < context_length ? int(place) : -1};
  }
};

}  // namespace

template <> void run<ops::embedding>(const ops::embedding::args& a, context& c) {
  const packed_sequences sequences = sequences_of(a.cu_seqlens, a.tokens);
  const int64_t columns = a.y.columns();
  for_element_types(a.table.type, a.y.type, [&]<class Table, class T>(Table*, T*) {
    for_width(columns % group == 0 && aligned(a.table, a.positions, a.y), [&]<int Width>(width<Width>) {
      const lookup<Table> from{a.table.as<Table>(), a.positions.as<float>(), a.positions.dim(0), columns,
                               check_of(ops::embedding::name, a, c)};
      const int blocks = blocks_of(std::max(sequences.count, int64_t(1)), 1);
      launch(embedding_kernel<Width, Table, T>, blocks, threads, 0, c.stream, sequences,
             a.tokens.as<int32_t>(), from, a.y.as<T>());
    });
  });
}

template <> void run<ops::embedding_backward>(const ops::embedding_backward::args& a, context& c) {
  const packed_sequences sequences = sequences_of(a.cu_seqlens, a.tokens);
  const index_check check = check_of(ops::embedding_backward::name, a, c);
  launch(check_starts_kernel, 1, threads, 0, c.stream, check, sequences);
  if (a.dtable.data)
    scatter_rows(tokens_in_sequences{a.tokens.as<int32_t>(), sequences, check}, a.tokens.size(), a.dy,
                 a.dtable.as<float>(), a.dtable.dim(0), c);
  const int64_t context_length = a.dpositions.dim(0);
  if (a.dpositions.data)
    scatter_rows(places_in_sequences{sequences, context_length}, a.tokens.size(), a.dy,
                 a.dpositions.as<float>(), context_length, c);
}

}  // namespace eva::cuda
