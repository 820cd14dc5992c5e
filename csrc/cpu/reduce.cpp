#include "ops/reduce.h"

#include <cstring>

#include "cpu/element_type.h"
#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// Calls body(row) for every row; each thread gets enough rows to be worth waking.
template <class Body> void for_rows(const context& c, int64_t rows, int64_t columns, const Body& body) {
  parallel_for(c, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(columns, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row) body(row);
               });
}

/// Sum of `count` elements: f32 within blocks, double across them.
template <class T> float total_of(const T* x, int64_t count) {
  constexpr int64_t block = 2048;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += block)
    total += double(sum_over(std::min(block, count - begin),
                             [&](int64_t i, auto width) { return load(x + begin + i, width); }));
  return float(total);
}

/// y [columns] = the column sums of x [rows, columns]. Threads split the columns, so the order of summation
/// is fixed.
template <class T> void sum_columns(const T* x, int64_t rows, int64_t columns, float* y, const context& c) {
  parallel_for(c, (columns + lanes - 1) / lanes, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * lanes, last = std::min(columns, end * lanes);
    std::memset(y + first, 0, size_t(last - first) * sizeof(float));
    for (int64_t row = 0; row < rows; ++row)
      sweep(last - first, [&](int64_t i, auto width) {
        store(y + first + i, load(y + first + i, width) + load(x + row * columns + first + i, width), width);
      });
  });
}

}  // namespace

template <> void run<ops::sum_leading>(const ops::sum_leading::args& a, context& c) {
  const int64_t columns = a.y.size(), rows = columns == 0 ? 0 : a.x.size() / columns;
  for_element_type(a.x.type, [&]<class T>(T*) {
    if (columns == 1)
      *a.y.as<float>() = total_of(a.x.as<T>(), rows);
    else
      sum_columns(a.x.as<T>(), rows, columns, a.y.as<float>(), c);
  });
}

template <> void run<ops::sum_last>(const ops::sum_last::args& a, context& c) {
  const int64_t columns = a.x.columns();
  for_element_type(a.x.type, [&]<class T>(T*) {
    for_rows(c, a.y.size(), columns,
             [&](int64_t row) { a.y.as<float>()[row] = total_of(a.x.as<T>() + row * columns, columns); });
  });
}

template <> void run<ops::expand>(const ops::expand::args& a, context& c) {
  for_element_type(a.x.type, [&]<class T>(T*) {
    const T* x = a.x.as<T>();
    T* y = a.y.as<T>();
    if (a.last) {
      const int64_t columns = a.y.columns();
      for_rows(c, a.x.size(), columns, [&](int64_t row) { std::fill_n(y + row * columns, columns, x[row]); });
    } else if (a.x.size() == 1) {
      for_rows(c, a.y.size(), 1, [&](int64_t i) { y[i] = x[0]; });
    } else {
      const int64_t columns = a.x.size();
      for_rows(c, columns == 0 ? 0 : a.y.size() / columns, columns, [&](int64_t row) {
        std::memcpy(static_cast<void*>(y + row * columns), x, size_t(columns) * sizeof(T));
      });
    }
  });
}

namespace {

/// The maximum of a row and the sum of e^(x - maximum).
struct softmax_terms {
  float max, sum;

  template <class T> static softmax_terms of_row(const T* x, int64_t count) {
    vec highest = broadcast(-std::numeric_limits<float>::infinity());
    sweep(count, [&](int64_t i, auto width) {
      const vec value = load(x + i, width);
      if constexpr (std::is_same_v<decltype(width), whole>)
        highest = maximum(highest, value);
      else
        for (int lane = 0; lane < width; ++lane) highest[lane] = std::max(highest[lane], value[lane]);
    });
    const float largest = reduce_max(highest);
    const float sum =
        sum_over(count, [&](int64_t i, auto width) { return exp(load(x + i, width) - largest); });
    return {largest, sum};
  }
};

template <class Args, class Row> void softmax_rows(const Args& a, const context& c, const Row& row_of) {
  const int64_t columns = a.x.columns();
  for_element_type(a.x.type, [&]<class T>(T*) {
    for_rows(c, a.x.rows(), columns, [&](int64_t row) {
      const T* x = a.x.template as<T>() + row * columns;
      T* y = a.y.template as<T>() + row * columns;
      const softmax_terms e = softmax_terms::of_row(x, columns);
      sweep(columns, [&](int64_t i, auto width) { store(y + i, row_of(load(x + i, width), e), width); });
    });
  });
}

/// dx of each element from dy, y and the row's sum of dy · weight(y).
template <class Args, class Weight, class Row>
void softmax_backward_rows(const Args& a, const context& c, const Weight& weight, const Row& row_of) {
  const int64_t columns = a.dy.columns();
  for_element_type(a.dy.type, [&]<class T>(T*) {
    for_rows(c, a.dy.rows(), columns, [&](int64_t row) {
      const T* dy = a.dy.template as<T>() + row * columns;
      const T* y = a.y.template as<T>() + row * columns;
      T* dx = a.dx.template as<T>() + row * columns;
      const float total = sum_over(
          columns, [&](int64_t i, auto width) { return load(dy + i, width) * weight(load(y + i, width)); });
      sweep(columns, [&](int64_t i, auto width) {
        store(dx + i, row_of(load(dy + i, width), load(y + i, width), total), width);
      });
    });
  });
}

}  // namespace

template <> void run<ops::softmax>(const ops::softmax::args& a, context& c) {
  softmax_rows(a, c, [](vec x, const softmax_terms& e) { return exp(x - e.max) / e.sum; });
}

template <> void run<ops::log_softmax>(const ops::log_softmax::args& a, context& c) {
  softmax_rows(a, c, [](vec x, const softmax_terms& e) { return x - (e.max + std::log(e.sum)); });
}

template <> void run<ops::softmax_backward>(const ops::softmax_backward::args& a, context& c) {
  softmax_backward_rows(
      a, c, [](vec y) { return y; }, [](vec dy, vec y, float sum) { return y * (dy - sum); });
}

template <> void run<ops::log_softmax_backward>(const ops::log_softmax_backward::args& a, context& c) {
  softmax_backward_rows(
      a, c, [](vec) { return broadcast(1.0f); }, [](vec dy, vec y, float sum) { return dy - exp(y) * sum; });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
