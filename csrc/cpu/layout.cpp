#include "ops/layout.h"

#include <cstring>

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// memcpy by several threads if there is enough to copy.
void copy(const context& c, void* to, const void* from, int64_t bytes) {
  parallel_for(c, bytes, int64_t(1) << 20, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                size_t(end - begin));
  });
}

void clear(const context& c, void* to, int64_t bytes) {
  parallel_for(c, bytes, int64_t(1) << 20, [&](int64_t begin, int64_t end) {
    std::memset(static_cast<std::byte*>(to) + begin, 0, size_t(end - begin));
  });
}

std::byte* row_of(const tensor& t, int64_t row) {
  const int64_t rows = t.dim(0);
  return static_cast<std::byte*>(t.data) + (rows == 0 ? 0 : row * (t.bytes() / rows));
}

template <class Word> void transpose_matrices(const ops::transpose::args& a, const context& c) {
  const int64_t m = a.x.dim(-2), n = a.x.dim(-1), batch = m * n == 0 ? 0 : a.x.size() / (m * n);
  // Square blocks whose rows and columns both stay in the L1 cache.
  constexpr int64_t block = 32;
  const int64_t row_blocks = (m + block - 1) / block;
  parallel_for(c, batch * row_blocks, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, block * n)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t item = begin; item < end; ++item) {
                   const Word* x = a.x.as<Word>() + item / row_blocks * m * n;
                   Word* y = a.y.as<Word>() + item / row_blocks * m * n;
                   const int64_t top = item % row_blocks * block, bottom = std::min(m, top + block);
                   for (int64_t left = 0; left < n; left += block)
                     for (int64_t j = left; j < std::min(n, left + block); ++j)
                       for (int64_t i = top; i < bottom; ++i) y[j * m + i] = x[i * n + j];
                 }
               });
}

/// Throws data_error for the first index outside 0 … rows-1.
void check_index(const char* op, const tensor& index, int64_t rows) {
  for (int64_t i = 0; i < index.size(); ++i) {
    const int64_t row = index.as<int32_t>()[i];
    if (row < 0 || row >= rows)
      throw data_error(std::string(op) + ": index[" + std::to_string(i) + "] is " + std::to_string(row) +
                           ", but there are " + std::to_string(rows) + " rows",
                       {{"op", op}, {"field", "index"}});
  }
}

template <class T> void add_rows(const ops::gather_rows_backward::args& a) {
  const int64_t columns = a.dy.columns();
  for (int64_t i = 0; i < a.index.size(); ++i) {
    const T* from = a.dy.as<T>() + i * columns;
    T* to = a.dx.as<T>() + a.index.as<int32_t>()[i] * columns;
    sweep(columns,
          [&](int64_t j, auto width) { store(to + j, load(to + j, width) + load(from + j, width), width); });
  }
}

template <class T> void average(const ops::mean_tokens::args& a, const context& c) {
  const int64_t tokens = a.x.dim(1), columns = a.x.columns();
  const float factor = 1.0f / float(tokens - a.begin);
  parallel_for(c, a.x.dim(0), 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      sweep(columns, [&](int64_t j, auto width) {
        vec sum{};
        for (int64_t n = a.begin; n < tokens; ++n)
          sum += load(a.x.as<T>() + (b * tokens + n) * columns + j, width);
        store(a.y.as<T>() + b * columns + j, sum * factor, width);
      });
  });
}

template <class T> void average_backward(const ops::mean_tokens_backward::args& a, const context& c) {
  const int64_t tokens = a.dx.dim(1), columns = a.dx.columns();
  const float factor = 1.0f / float(tokens - a.begin);
  parallel_for(c, a.dx.dim(0), 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      T* dx = a.dx.as<T>() + b * tokens * columns;
      std::fill_n(dx, a.begin * columns, T(0.0f));
      for (int64_t n = a.begin; n < tokens; ++n)
        sweep(columns, [&](int64_t j, auto width) {
          store(dx + n * columns + j, load(a.dy.as<T>() + b * columns + j, width) * factor, width);
        });
    }
  });
}

}  // namespace

template <> void run<ops::transpose>(const ops::transpose::args& a, context& c) {
  switch (size_of(a.x.type)) {
    case 1:
      return transpose_matrices<uint8_t>(a, c);
    case 2:
      return transpose_matrices<uint16_t>(a, c);
    default:
      return transpose_matrices<uint32_t>(a, c);
  }
}

template <> void run<ops::concat>(const ops::concat::args& a, context& c) {
  int64_t row = 0;
  for (const tensor& x : a.xs) {
    copy(c, row_of(a.y, row), x.data, x.bytes());
    row += x.dim(0);
  }
}

template <> void run<ops::slice>(const ops::slice::args& a, context& c) {
  copy(c, a.y.data, row_of(a.x, a.begin), a.y.bytes());
}

template <> void run<ops::pad>(const ops::pad::args& a, context& c) {
  clear(c, a.y.data, a.y.bytes());
  copy(c, row_of(a.y, a.begin), a.x.data, a.x.bytes());
}

template <> void run<ops::gather_rows>(const ops::gather_rows::args& a, context&) {
  check_index("gather_rows", a.index, a.x.rows());
  const auto bytes = size_t(a.x.columns() * size_of(a.x.type));
  for (int64_t i = 0; i < a.index.size(); ++i)
    std::memcpy(a.y.as<std::byte>() + size_t(i) * bytes,
                a.x.as<std::byte>() + size_t(a.index.as<int32_t>()[i]) * bytes, bytes);
}

template <> void run<ops::gather_rows_backward>(const ops::gather_rows_backward::args& a, context& c) {
  check_index("gather_rows_backward", a.index, a.dx.rows());
  clear(c, a.dx.data, a.dx.bytes());
  a.dy.type == dtype::f32 ? add_rows<float>(a) : add_rows<bf16>(a);
}

template <> void run<ops::mean_tokens>(const ops::mean_tokens::args& a, context& c) {
  a.x.type == dtype::f32 ? average<float>(a, c) : average<bf16>(a, c);
}

template <> void run<ops::mean_tokens_backward>(const ops::mean_tokens_backward::args& a, context& c) {
  a.dy.type == dtype::f32 ? average_backward<float>(a, c) : average_backward<bf16>(a, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
