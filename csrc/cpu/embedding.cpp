#include "ops/embedding.h"

#include <cstring>

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

[[noreturn]] void fail(const std::string& message, const char* field) {
  throw data_error("embedding: " + message, {{"op", "embedding"}, {"field", field}});
}

/// Checks every index before it is used.
void check(const tensor& tokens, const tensor& cu_seqlens, int64_t vocabulary, int64_t context_length) {
  const auto* cu = cu_seqlens.as<int32_t>();
  const int64_t sequences = cu_seqlens.size() - 1;
  if (cu[0] != 0) fail("cu_seqlens[0] is " + std::to_string(cu[0]) + ", not 0", "cu_seqlens");
  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t length = int64_t(cu[b + 1]) - cu[b];
    if (length < 0 || cu[b + 1] > tokens.size())
      fail("cu_seqlens[" + std::to_string(b + 1) + "] is " + std::to_string(cu[b + 1]) + " after " +
               std::to_string(cu[b]) + ", for " + std::to_string(tokens.size()) + " tokens",
           "cu_seqlens");
    if (length > context_length)
      fail("sequence " + std::to_string(b) + " has " + std::to_string(length) +
               " tokens; the context length is " + std::to_string(context_length),
           "cu_seqlens");
  }
  for (int64_t t = 0; t < cu[sequences]; ++t)
    if (const int32_t id = tokens.as<int32_t>()[t]; id < 0 || id >= vocabulary)
      fail("token " + std::to_string(t) + " is " + std::to_string(id) + ", but the vocabulary has " +
               std::to_string(vocabulary) + " ids",
           "tokens");
}

template <class Table, class T> void embed(const ops::embedding::args& a, const context& c) {
  const int64_t columns = a.y.columns(), sequences = a.cu_seqlens.size() - 1;
  const auto* cu = a.cu_seqlens.as<int32_t>();
  parallel_for(c, sequences, 8, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t t = cu[b]; t < cu[b + 1]; ++t) {
        const Table* row = a.table.as<Table>() + a.tokens.as<int32_t>()[t] * columns;
        const float* position = a.positions.as<float>() + (t - cu[b]) * columns;
        T* y = a.y.as<T>() + t * columns;
        sweep(columns, [&](int64_t i, auto width) {
          store(y + i, load(row + i, width) + load(position + i, width), width);
        });
      }
  });
  const int64_t padding = a.y.rows() - cu[sequences];
  std::fill_n(a.y.as<T>() + cu[sequences] * columns, padding * columns, T(0.0f));
}

/// Adds row t of dy to row index_of(b, t) of `into`. Threads split the columns, not the rows, so no two of
/// them write the same element, and the sums are in the order of the tokens.
template <class T, class Index>
void scatter_rows(const ops::embedding_backward::args& a, float* into, int64_t rows, const context& c,
                  const Index& index_of) {
  const int64_t columns = a.dy.columns(), sequences = a.cu_seqlens.size() - 1;
  const auto* cu = a.cu_seqlens.as<int32_t>();
  parallel_for(c, rows, 256, [&](int64_t begin, int64_t end) {
    std::memset(into + begin * columns, 0, size_t((end - begin) * columns) * sizeof(float));
  });
  parallel_for(c, (columns + lanes - 1) / lanes, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * lanes, count = std::min(columns, end * lanes) - first;
    for (int64_t b = 0; b < sequences; ++b)
      for (int64_t t = cu[b]; t < cu[b + 1]; ++t) {
        const T* dy = a.dy.as<T>() + t * columns + first;
        float* sum = into + index_of(b, t) * columns + first;
        sweep(count, [&](int64_t i, auto width) {
          store(sum + i, load(sum + i, width) + load(dy + i, width), width);
        });
      }
  });
}

template <class T> void embed_backward(const ops::embedding_backward::args& a, const context& c) {
  if (a.dtable.data)
    scatter_rows<T>(a, a.dtable.as<float>(), a.dtable.dim(0), c,
                    [&](int64_t, int64_t t) { return int64_t(a.tokens.as<int32_t>()[t]); });
  if (a.dpositions.data)
    scatter_rows<T>(a, a.dpositions.as<float>(), a.dpositions.dim(0), c,
                    [&](int64_t b, int64_t t) { return t - a.cu_seqlens.as<int32_t>()[b]; });
}

}  // namespace

template <> void run<ops::embedding>(const ops::embedding::args& a, context& c) {
  check(a.tokens, a.cu_seqlens, a.table.dim(0), a.positions.dim(0));
  const bool wide = a.y.type == dtype::f32;
  if (a.table.type == dtype::f32)
    wide ? embed<float, float>(a, c) : embed<float, bf16>(a, c);
  else
    wide ? embed<bf16, float>(a, c) : embed<bf16, bf16>(a, c);
}

template <> void run<ops::embedding_backward>(const ops::embedding_backward::args& a, context& c) {
  check(a.tokens, a.cu_seqlens, a.table.dim(0), a.positions.dim(0));
  a.dy.type == dtype::f32 ? embed_backward<float>(a, c) : embed_backward<bf16>(a, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
