#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/reduce.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int max_threads = 1024;
constexpr int scratch_bytes = max_threads / warp_size * int(sizeof(float));

/// The sum of term(x) over a row x; every thread of the block gets it.
template <int Width, class T, class Term>
__device__ float row_sum(const T* x, int64_t columns, const Term& term) {
  float sum = 0;
  for_groups_of_row<Width>(columns, [&](int64_t i) {
    float values[Width];
    load_elements(x + i, values);
    for (float value : values) sum += term(value);
  });
  return block_sum(sum, shared_at<float>(0));
}

// y[row] = the sum of a row of x [rows, columns]. One block per row.
// Expected bound: HBM bandwidth; reads x once.
template <int Width, class T>
__global__ void __launch_bounds__(max_threads)
    sum_rows_kernel(const T* x, float* y, int64_t rows, int64_t columns) {
  for (int64_t row = block_index(); row < rows; row += grid_blocks()) {
    const float sum = row_sum<Width>(x + row * columns, columns, [](float value) { return value; });
    if (thread_index() == 0) y[row] = sum;
  }
}

void sum_rows(const tensor& x, const tensor& y, int64_t rows, int64_t columns, const context& c) {
  for_element_type(x.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(x), [&]<int Width>(width<Width>) {
      launch(sum_rows_kernel<Width, T>, blocks_of(rows, 1), threads_of_row(columns, max_threads),
             scratch_bytes, c.stream, x.as<T>(), y.as<float>(), rows, columns);
    });
  });
}

// partials[part] = the sum of elements part · length … (part + 1) · length - 1 of x [count].
// Expected bound: HBM bandwidth; reads x once.
template <int Width, class T>
__global__ void __launch_bounds__(max_threads)
    sum_parts_kernel(const T* x, float* partials, int64_t count, int64_t length) {
  const int64_t first = block_index() * length;
  const float sum = row_sum<Width>(x + first, min(length, count - first), [](float value) { return value; });
  if (thread_index() == 0) partials[block_index()] = sum;
}

/// y [] = the sum of x: one partial sum per block, then their sum.
void sum_all(const tensor& x, const tensor& y, context& c) {
  constexpr int64_t length = 1 << 16;
  const int64_t parts = (x.size() + length - 1) / length;
  if (parts <= 1) return sum_rows(x, y, 1, x.size(), c);
  tensor partials{dtype::f32, {parts}, c.scratch.take<float>(parts)};
  for_element_type(x.type, [&]<class T>(T*) {
    for_width(x.size() % group == 0 && aligned(x), [&]<int Width>(width<Width>) {
      launch(sum_parts_kernel<Width, T>, int(parts), max_threads, scratch_bytes, c.stream, x.as<T>(),
             partials.as<float>(), x.size(), length);
    });
  });
  sum_rows(partials, y, 1, parts, c);
}

// Half a warp reads 16 columns of a row: 32 bytes of bf16, one DRAM sector.
constexpr int columns_per_block = 16, row_slices = max_threads / columns_per_block;

// y [parts, columns] = the column sums of each of `parts` ranges of rows of x [rows, columns]. Thread (slice,
// column) sums every row_slices-th row of its block's range.
// Expected bound: HBM bandwidth; reads x once. Up to two blocks per SM.
template <class T>
__global__ void __launch_bounds__(max_threads)
    sum_columns_kernel(const T* x, float* y, int64_t rows, int64_t columns, int parts) {
  const auto sums = shared_at<float>(0);  // [row_slices, columns_per_block]
  const int part = block_index() % parts;
  const int64_t column =
      int64_t(block_index() / parts) * columns_per_block + thread_index() % columns_per_block;
  const int64_t begin = rows * part / parts, end = rows * (part + 1) / parts;
  float sum = 0;
  if (column < columns) {
#pragma unroll 8
    for (int64_t row = begin + thread_index() / columns_per_block; row < end; row += row_slices) {
      float value[1];
      load_elements(x + row * columns + column, value);
      sum += value[0];
    }
  }
  sums.store(thread_index(), sum);
  block_barrier();
  if (thread_index() >= columns_per_block || column >= columns) return;
  for (int slice = 1; slice < row_slices; ++slice)
    sum += sums.load(slice * columns_per_block + thread_index());
  y[part * columns + column] = sum;
}

/// y [columns] = the column sums of x [rows, columns], divided into parts so that every SM has two blocks.
void sum_columns(const tensor& x, const tensor& y, int64_t rows, int64_t columns, context& c) {
  const int blocks = blocks_of(columns, columns_per_block);
  if (blocks == 0) return;
  const int64_t max_parts = std::max<int64_t>(1, rows / row_slices);
  const int parts = int(std::clamp<int64_t>(2 * c.properties.multiprocessors / blocks, 1, max_parts));
  float* const partials = parts == 1 ? y.as<float>() : c.scratch.take<float>(parts * columns);
  for_element_type(x.type, [&]<class T>(T*) {
    launch(sum_columns_kernel<T>, blocks * parts, max_threads, max_threads * int(sizeof(float)), c.stream,
           x.as<T>(), partials, rows, columns, parts);
  });
  if (parts > 1) add_up_columns(partials, parts, columns, y.as<float>(), c);
}

constexpr int element_threads = 256;

// y = x broadcast: element i is x[i / columns] if `last`, otherwise x[i mod columns].
// Expected bound: HBM bandwidth; writes y once.
template <int Width, class T>
__global__ void __launch_bounds__(element_threads)
    expand_kernel(const T* x, T* y, int64_t count, int64_t columns, bool last) {
  for_groups<Width>(count, [&]<int Count>(int64_t i, width<Count>) {
    float values[Count];
    if (last || columns == 1) {
      float scalar[1];
      load_elements(x + (last ? i / columns : 0), scalar);
      for (float& value : values) value = scalar[0];
    } else {
      load_elements(x + i % columns, values);
    }
    store_elements(y + i, values);
  });
}

/// Softmax and log-softmax of x, from the row's maximum and Σ e^(x - maximum).
struct softmax_of {
  float maximum, sum;
  __device__ float operator()(float x) const { return expf(x - maximum) / sum; }
};
struct log_softmax_of {
  float lse;
  __device__ log_softmax_of(float maximum, float sum) : lse(maximum + logf(sum)) {}
  __device__ float operator()(float x) const { return x - lse; }
};

// One block per row.
// Expected bound: HBM bandwidth; reads x (the second and third time from L1 or L2), writes y.
template <int Width, class Form, class T>
__global__ void __launch_bounds__(max_threads)
    softmax_kernel(const T* x, T* y, int64_t rows, int64_t columns) {
  for (int64_t row = block_index(); row < rows; row += grid_blocks()) {
    const T* const from = x + row * columns;
    float largest = -INFINITY;
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float values[Width];
      load_elements(from + i, values);
      for (float value : values) largest = fmaxf(largest, value);
    });
    const float maximum = block_max(largest, shared_at<float>(0));
    const float sum = row_sum<Width>(from, columns, [&](float value) { return expf(value - maximum); });
    const Form form{maximum, sum};
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float values[Width];
      load_elements(from + i, values);
      for (float& value : values) value = form(value);
      store_elements(y + row * columns + i, values);
    });
  }
}

template <class Form> void softmax_rows(const tensor& x, const tensor& y, const context& c) {
  for_element_type(x.type, [&]<class T>(T*) {
    for_width(x.columns() % group == 0 && aligned(x, y), [&]<int Width>(width<Width>) {
      launch(softmax_kernel<Width, Form, T>, blocks_of(x.rows(), 1), threads_of_row(x.columns()),
             scratch_bytes, c.stream, x.as<T>(), y.as<T>(), x.rows(), x.columns());
    });
  });
}

/// dx of an element from dy, y and the sum of `term` over the row.
struct softmax_gradient {
  static __device__ float term(float dy, float y) { return dy * y; }
  static __device__ float of(float dy, float y, float sum) { return y * (dy - sum); }
};
struct log_softmax_gradient {
  static __device__ float term(float dy, float) { return dy; }
  static __device__ float of(float dy, float y, float sum) { return dy - expf(y) * sum; }
};

// One block per row.
// Expected bound: HBM bandwidth; reads dy and y (the second time from L1 or L2), writes dx.
template <int Width, class Form, class T>
__global__ void __launch_bounds__(max_threads)
    softmax_backward_kernel(const T* dy, const T* y, T* dx, int64_t rows, int64_t columns) {
  for (int64_t row = block_index(); row < rows; row += grid_blocks()) {
    const int64_t first = row * columns;
    float sum = 0;
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float gradients[Width], values[Width];
      load_elements(dy + first + i, gradients);
      load_elements(y + first + i, values);
      for (int j = 0; j < Width; ++j) sum += Form::term(gradients[j], values[j]);
    });
    sum = block_sum(sum, shared_at<float>(0));
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float gradients[Width], values[Width];
      load_elements(dy + first + i, gradients);
      load_elements(y + first + i, values);
      for (int j = 0; j < Width; ++j) gradients[j] = Form::of(gradients[j], values[j], sum);
      store_elements(dx + first + i, gradients);
    });
  }
}

template <class Form, class Args> void softmax_backward_rows(const Args& a, const context& c) {
  const int64_t rows = a.dy.rows(), columns = a.dy.columns();
  for_element_type(a.dy.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(a.dy, a.y, a.dx), [&]<int Width>(width<Width>) {
      launch(softmax_backward_kernel<Width, Form, T>, blocks_of(rows, 1), threads_of_row(columns),
             scratch_bytes, c.stream, a.dy.template as<T>(), a.y.template as<T>(), a.dx.template as<T>(),
             rows, columns);
    });
  });
}

}  // namespace

template <> void run<ops::sum_leading>(const ops::sum_leading::args& a, context& c) {
  const int64_t columns = a.y.size(), rows = columns == 0 ? 0 : a.x.size() / columns;
  columns == 1 ? sum_all(a.x, a.y, c) : sum_columns(a.x, a.y, rows, columns, c);
}

template <> void run<ops::sum_last>(const ops::sum_last::args& a, context& c) {
  sum_rows(a.x, a.y, a.y.size(), a.x.columns(), c);
}

template <> void run<ops::expand>(const ops::expand::args& a, context& c) {
  const int64_t columns = a.last ? a.y.columns() : a.x.size();
  const bool groups_repeat = columns % group == 0 || (columns == 1 && !a.last);
  for_element_type(a.x.type, [&]<class T>(T*) {
    for_width(groups_repeat && aligned(a.x, a.y), [&]<int Width>(width<Width>) {
      launch(expand_kernel<Width, T>, blocks_of(a.y.size(), element_threads * Width), element_threads, 0,
             c.stream, a.x.as<T>(), a.y.as<T>(), a.y.size(), columns, a.last);
    });
  });
}

template <> void run<ops::softmax>(const ops::softmax::args& a, context& c) {
  softmax_rows<softmax_of>(a.x, a.y, c);
}

template <> void run<ops::log_softmax>(const ops::log_softmax::args& a, context& c) {
  softmax_rows<log_softmax_of>(a.x, a.y, c);
}

template <> void run<ops::softmax_backward>(const ops::softmax_backward::args& a, context& c) {
  softmax_backward_rows<softmax_gradient>(a, c);
}

template <> void run<ops::log_softmax_backward>(const ops::log_softmax_backward::args& a, context& c) {
  softmax_backward_rows<log_softmax_gradient>(a, c);
}

}  // namespace eva::cuda
