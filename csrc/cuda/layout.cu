#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/index_check.cuh"
#include "cuda/kernel.h"
#include "cuda/scatter/scatter_rows.cuh"
#include "ops/layout.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;

/// Calls body with a null pointer to the widest word whose size divides all of these byte counts and
/// addresses (or-ed).
template <class Body> void for_word(uintptr_t counts_and_addresses, const Body& body) {
  if (counts_and_addresses % 16 == 0)
    body(static_cast<vector16*>(nullptr));
  else if (counts_and_addresses % 4 == 0)
    body(static_cast<uint32_t*>(nullptr));
  else if (counts_and_addresses % 2 == 0)
    body(static_cast<uint16_t*>(nullptr));
  else
    body(static_cast<uint8_t*>(nullptr));
}

uintptr_t address(const void* memory) { return reinterpret_cast<uintptr_t>(memory); }

// y [total] = x [count] at `first`, zeros elsewhere.
// Expected bound: HBM bandwidth; reads x and writes y once.
template <class Word>
__global__ void __launch_bounds__(threads)
    padded_copy_kernel(const Word* x, Word* y, int64_t total, int64_t first, int64_t count) {
  for_groups<1>(total,
                [&](int64_t i, width<1>) { y[i] = first <= i && i < first + count ? x[i - first] : Word{}; });
}

/// padded_copy_kernel with sizes in bytes.
void copy_padded(const void* x, void* y, int64_t total, int64_t first, int64_t count, const context& c) {
  for_word(address(x) | address(y) | uintptr_t(total | first | count), [&]<class Word>(Word*) {
    constexpr int64_t size = sizeof(Word);
    launch(padded_copy_kernel<Word>, blocks_of(total / size, threads), threads, 0, c.stream,
           static_cast<const Word*>(x), static_cast<Word*>(y), total / size, first / size, count / size);
  });
}

/// Bytes from one index of the first dimension to the next.
int64_t row_bytes(const tensor& t) { return t.dim(0) == 0 ? 0 : t.bytes() / t.dim(0); }

constexpr int tile_side = 32;
constexpr int tile_rows_at_once = threads / tile_side;

/// Bytes take two bytes each in shared memory.
template <class Word> using tile_word = std::conditional_t<sizeof(Word) == 1, uint16_t, Word>;

// y [batch, n, m] = x [batch, m, n] transposed, one tile of tile_side × tile_side per block. Padding by one
// column puts the elements of a column in different banks.
// Expected bound: HBM bandwidth; reads x and writes y once.
template <class Word>
__global__ void __launch_bounds__(threads)
    transpose_kernel(const Word* x, Word* y, int64_t batch, int64_t m, int64_t n) {
  const auto tile = shared_at<tile_word<Word>>(0);  // [tile_side, tile_side + 1]
  const int64_t row_tiles = (m + tile_side - 1) / tile_side, column_tiles = (n + tile_side - 1) / tile_side;
  const int row = thread_index() / tile_side, column = thread_index() % tile_side;
  for (int64_t item = block_index(); item < batch * row_tiles * column_tiles; item += grid_blocks()) {
    const int64_t first = item / (row_tiles * column_tiles) * m * n;
    const int64_t top = item / column_tiles % row_tiles * tile_side, left = item % column_tiles * tile_side;
    for (int i = row; i < tile_side; i += tile_rows_at_once)
      if (top + i < m && left + column < n)
        tile.store(i * (tile_side + 1) + column, x[first + (top + i) * n + left + column]);
    block_barrier();
    for (int j = row; j < tile_side; j += tile_rows_at_once)
      if (left + j < n && top + column < m)
        y[first + (left + j) * m + top + column] = Word(tile.load(column * (tile_side + 1) + j));
    block_barrier();
  }
}

template <class Word> void transpose_matrices(const ops::transpose::args& a, const context& c) {
  const int64_t m = a.x.dim(-2), n = a.x.dim(-1), batch = m * n == 0 ? 0 : a.x.size() / (m * n);
  const int64_t tiles = batch * ((m + tile_side - 1) / tile_side) * ((n + tile_side - 1) / tile_side);
  launch(transpose_kernel<Word>, blocks_of(tiles, 1), threads,
         tile_side * (tile_side + 1) * int(sizeof(tile_word<Word>)), c.stream, a.x.as<Word>(), a.y.as<Word>(),
         batch, m, n);
}

template <class Word> __device__ Word all_ones() {
  if constexpr (sizeof(Word) == 16)
    return {{~0u, ~0u, ~0u, ~0u}};
  else
    return Word(~0u);
}

// y[i] = x[index[i]] in words; for an index out of range all bits are set, which is NaN in either float type.
// Expected bound: HBM bandwidth; reads one row of x per index and writes y.
template <class Word>
__global__ void __launch_bounds__(threads)
    gather_rows_kernel(const Word* x, const int32_t* index, Word* y, int64_t count, int64_t words,
                       index_check check) {
  for_groups<1>(count, [&](int64_t i, width<1>) {
    const int64_t row = index[i / words];
    y[i] = check.holds(0, i / words, row) ? x[row * words + i % words] : all_ones<Word>();
  });
}

struct indexed_rows {
  const int32_t* index;
  index_check check;

  __device__ scattered operator()(int i) const { return {i, check.holds(0, i, index[i]) ? index[i] : -1}; }
};

// y [B, C] = the mean of tokens begin … of x [B, tokens, C].
// Expected bound: HBM bandwidth; reads x once.
template <int Width, class T>
__global__ void __launch_bounds__(threads)
    mean_tokens_kernel(const T* x, T* y, int64_t count, int64_t columns, int64_t tokens, int64_t begin) {
  const float factor = 1.0f / float(tokens - begin);
  for_groups<Width>(count, [&]<int Count>(int64_t i, width<Count>) {
    const T* const from = x + i / columns * tokens * columns + i % columns;
    float sums[Count] = {};
#pragma unroll 4
    for (int64_t n = begin; n < tokens; ++n) {
      float values[Count];
      load_elements(from + n * columns, values);
      for (int j = 0; j < Count; ++j) sums[j] += values[j];
    }
    for (float& sum : sums) sum *= factor;
    store_elements(y + i, sums);
  });
}

// dx = dy / (tokens - begin) for tokens begin …, zero before them.
// Expected bound: HBM bandwidth; writes dx once.
template <int Width, class T>
__global__ void __launch_bounds__(threads)
    mean_tokens_backward_kernel(const T* dy, T* dx, int64_t count, int64_t columns, int64_t tokens,
                                int64_t begin) {
  const float factor = 1.0f / float(tokens - begin);
  for_groups<Width>(count, [&]<int Count>(int64_t i, width<Count>) {
    const int64_t row = i / columns;
    float values[Count] = {};
    if (row % tokens >= begin) {
      load_elements(dy + row / tokens * columns + i % columns, values);
      for (float& value : values) value *= factor;
    }
    store_elements(dx + i, values);
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
  auto* y = a.y.as<uint8_t>();
  for (const tensor& x : a.xs) {
    copy_padded(x.data, y, x.bytes(), 0, x.bytes(), c);
    y += x.bytes();
  }
}

template <> void run<ops::slice>(const ops::slice::args& a, context& c) {
  copy_padded(a.x.as<uint8_t>() + a.begin * row_bytes(a.x), a.y.data, a.y.bytes(), 0, a.y.bytes(), c);
}

template <> void run<ops::pad>(const ops::pad::args& a, context& c) {
  copy_padded(a.x.data, a.y.data, a.y.bytes(), a.begin * row_bytes(a.y), a.x.bytes(), c);
}

template <> void run<ops::gather_rows>(const ops::gather_rows::args& a, context& c) {
  const int64_t bytes = a.x.columns() * size_of(a.x.type);
  for_word(address(a.x.data) | address(a.y.data) | uintptr_t(bytes), [&]<class Word>(Word*) {
    const int64_t words = bytes / int64_t(sizeof(Word)), count = a.index.size() * words;
    launch(gather_rows_kernel<Word>, blocks_of(count, threads), threads, 0, c.stream, a.x.as<Word>(),
           a.index.as<int32_t>(), a.y.as<Word>(), count, words,
           index_check(c, ops::gather_rows::name, &a, {{"index", a.x.rows()}}));
  });
}

template <> void run<ops::gather_rows_backward>(const ops::gather_rows_backward::args& a, context& c) {
  const index_check check(c, ops::gather_rows_backward::name, &a, {{"index", a.dx.rows()}});
  for_element_type(a.dy.type, [&]<class T>(T*) {
    scatter_rows(indexed_rows{a.index.as<int32_t>(), check}, a.index.size(), a.dy, a.dx.as<T>(), a.dx.rows(),
                 c);
  });
}

template <> void run<ops::mean_tokens>(const ops::mean_tokens::args& a, context& c) {
  const int64_t columns = a.x.columns(), count = a.y.size();
  for_element_type(a.x.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(a.x, a.y), [&]<int Width>(width<Width>) {
      launch(mean_tokens_kernel<Width, T>, blocks_of(count, threads * Width), threads, 0, c.stream,
             a.x.as<T>(), a.y.as<T>(), count, columns, a.x.dim(1), a.begin);
    });
  });
}

template <> void run<ops::mean_tokens_backward>(const ops::mean_tokens_backward::args& a, context& c) {
  const int64_t columns = a.dx.columns(), count = a.dx.size();
  for_element_type(a.dy.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(a.dy, a.dx), [&]<int Width>(width<Width>) {
      launch(mean_tokens_backward_kernel<Width, T>, blocks_of(count, threads * Width), threads, 0, c.stream,
             a.dy.as<T>(), a.dx.as<T>(), count, columns, a.dx.dim(1), a.begin);
    });
  });
}

}  // namespace eva::cuda
