#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "cuda/scatter_rows.cuh"
#include "ops/embedding.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 128;

/// Packed sequences; whatever cu_seqlens holds, ends lie in 0 … tokens.
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

/// What embedding looks up in; a captured program cannot throw, so ids and places outside give NaN.
template <class Table> struct lookup {
  const Table* table;      // [vocabulary, columns]
  const float* positions;  // [context_length, columns]
  int64_t vocabulary, context_length, columns;

  template <int Count>
  __device__ void row(int64_t token, int64_t place, int64_t column, float (&values)[Count]) const {
    if (token < 0 || token >= vocabulary || place >= context_length) {
      for (float& value : values) value = NAN;
      return;
    }
    float position[Count];
    load_elements(table + token * columns + column, values);
    load_elements(positions + place * columns + column, position);
    for (int j = 0; j < Count; ++j) values[j] += position[j];
  }
};

// A block takes a sequence, and its share of the padding behind the last one.
template <int Width, class Table, class T>
__global__ void __launch_bounds__(threads)
    embedding_kernel(packed_sequences sequences, const int32_t* tokens, lookup<Table> from, T* y) {
  for (int64_t b = block_index(); b < sequences.count; b += grid_blocks()) {
    const int64_t begin = sequences.bound(b), end = sequences.bound(b + 1);
    for_groups_of_row<Width>((end - begin) * from.columns, [&](int64_t i) {
      const int64_t place = i / from.columns, column = i % from.columns;
      float values[Width];
      from.row(tokens[begin + place], place, column, values);
      store_elements(y + (begin + place) * from.columns + column, values);
    });
  }
  const int64_t end = sequences.bound(sequences.count);
  for_groups<Width>((sequences.tokens - end) * from.columns, [&]<int Count>(int64_t i, width<Count>) {
    const float zeros[Count] = {};
    store_elements(y + end * from.columns + i, zeros);
  });
}

struct tokens_in_sequences {
  const int32_t* tokens;
  packed_sequences sequences;

  __device__ scattered operator()(int t) const {
    return {t, t < sequences.bound(sequences.count) ? tokens[t] : -1};
  }
};

/// Item i is place i % context_length of sequence i / context_length.
struct places_in_sequences {
  packed_sequences sequences;
  int context_length;

  __device__ scattered operator()(int i) const {
    const int b = i / context_length, place = i % context_length;
    const auto t = int(sequences.bound(b)) + place;
    return {t, t < sequences.bound(b + 1) ? place : -1};
  }
};

}  // namespace

template <> void run<ops::embedding>(const ops::embedding::args& a, context& c) {
  const packed_sequences sequences = sequences_of(a.cu_seqlens, a.tokens);
  const int64_t columns = a.y.columns();
  for_element_types(a.table.type, a.y.type, [&]<class Table, class T>(Table*, T*) {
    for_width(columns % group == 0 && aligned(a.table, a.positions, a.y), [&]<int Width>(width<Width>) {
      const lookup<Table> from{a.table.as<Table>(), a.positions.as<float>(), a.table.dim(0),
                               a.positions.dim(0), columns};
      const int blocks = a.y.size() == 0 ? 0 : blocks_of(std::max(sequences.count, int64_t(1)), 1);
      launch(embedding_kernel<Width, Table, T>, blocks, threads, 0, c.stream, sequences,
             a.tokens.as<int32_t>(), from, a.y.as<T>());
    });
  });
}

template <> void run<ops::embedding_backward>(const ops::embedding_backward::args& a, context& c) {
  const packed_sequences sequences = sequences_of(a.cu_seqlens, a.tokens);
  if (a.dtable.data)
    scatter_rows(tokens_in_sequences{a.tokens.as<int32_t>(), sequences}, a.tokens.size(), a.dy,
                 a.dtable.as<float>(), a.dtable.dim(0), c);
  const int64_t context_length = a.dpositions.dim(0);
  if (a.dpositions.data)
    scatter_rows(places_in_sequences{sequences, int(context_length)}, sequences.count * context_length, a.dy,
                 a.dpositions.as<float>(), context_length, c);
}

}  // namespace eva::cuda
