#include "cpu/linear.h"

#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

template <class T> T* offset(T* data, int64_t elements, dtype type) {
  using byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
  return static_cast<byte*>(data) + elements * size_of(type);
}

vec activate(vec x, ops::activation activation) {
  switch (activation) {
    case ops::activation::gelu:
      return 0.5f * x * (1.0f + erf(x * 0.70710678f));
    case ops::activation::quick_gelu:
      return x * sigmoid(1.702f * x);
    case ops::activation::none:
      return x;
  }
  return x;
}

/// y = act(pre) + residual
template <class T> void finish(const ops::linear::args& a, const context& c) {
  const T* pre = a.pre.as<T>();
  const T* residual = a.residual.present() ? a.residual.as<T>() : nullptr;
  T* y = a.y.as<T>();
  parallel_for(c, a.y.size(), 4096, [&](int64_t begin, int64_t end) {
    sweep(end - begin, [&](int64_t offset_in_part, auto width) {
      const int64_t i = begin + offset_in_part;
      vec value = activate(load(pre + i, width), a.act);
      if (residual) value += load(residual + i, width);
      store(y + i, value, width);
    });
  });
}

}  // namespace

plan<ops::linear>::plan(const ops::linear::args& a, context&) : args_(a) {
  const dtype type = a.x.type;
  const int64_t rows = a.x.rows(), inner = a.x.columns(), columns = a.y.columns();
  const bool keeps_pre = a.pre.data != nullptr;
  for (size_t i = 0; i < a.weights.size(); ++i) {
    const int64_t outer = a.weights[i].dim(0);
    product_form form{.a = dense(type, rows, inner),
                      .b = transposed(dense(type, outer, inner)),
                      .c = column_slice(type, rows, outer, columns),
                      .bias = !a.biases.empty() && a.biases[i].present()};
    if (!keeps_pre) {
      form.activation = a.act;
      if (a.residual.present()) form.addend = form.c;
    }
    products_.emplace_back(form);
  }
}

void plan<ops::linear>::run(context& c) {
  const ops::linear::args& a = args_;
  const bool keeps_pre = a.pre.data != nullptr;
  void* target = keeps_pre ? a.pre.data : a.y.data;
  int64_t column = 0;
  for (size_t i = 0; i < products_.size(); ++i) {
    const float* bias = a.biases.empty() ? nullptr : a.biases[i].as<float>();
    const void* addend = a.residual.present() ? offset(a.residual.data, column, a.y.type) : nullptr;
    products_[i].run(a.x.data, a.weights[i].data, offset(target, column, a.y.type), bias, addend);
    column += a.weights[i].dim(0);
  }
  if (!keeps_pre || a.y.data == nullptr) return;
  a.y.type == dtype::f32 ? finish<float>(a, c) : finish<bf16>(a, c);
}

plan<ops::linear_input_gradient>::plan(const ops::linear_input_gradient::args& a, context&) : args_(a) {
  const dtype type = a.dy.type;
  const int64_t rows = a.dy.rows(), inner = a.dx.columns(), columns = a.dy.columns();
  for (size_t i = 0; i < a.weights.size(); ++i) {
    const int64_t outer = a.weights[i].dim(0);
    products_.emplace_back(product_form{.a = column_slice(type, rows, outer, columns),
                                        .b = dense(type, outer, inner),
                                        .c = dense(type, rows, inner),
                                        .accumulate = i > 0});
  }
}

void plan<ops::linear_input_gradient>::run(context&) {
  const ops::linear_input_gradient::args& a = args_;
  int64_t column = 0;
  for (size_t i = 0; i < products_.size(); ++i) {
    products_[i].run(offset(a.dy.data, column, a.dy.type), a.weights[i].data, a.dx.data);
    column += a.weights[i].dim(0);
  }
}

namespace {

/// Sums `count` columns of dy, a few vectors of them at a time so that the sums stay in registers.
template <class T, int Vectors>
void sum_columns(const T* dy, int64_t rows, int64_t row_stride, float* dbias) {
  // Partial sums of this many rows, added up, round less than one long sum.
  constexpr int64_t block = 256;
  vec total[Vectors]{};
  for (int64_t begin = 0; begin < rows; begin += block) {
    vec part[Vectors]{};
    for (int64_t row = begin; row < std::min(rows, begin + block); ++row)
      for (int v = 0; v < Vectors; ++v) part[v] += load(dy + row * row_stride + v * lanes);
    for (int v = 0; v < Vectors; ++v) total[v] += part[v];
  }
  for (int v = 0; v < Vectors; ++v) store(dbias + v * lanes, total[v]);
}

/// The columns that do not fill a vector.
template <class T> void sum_rest(const T* dy, int64_t rows, int64_t row_stride, int width, float* dbias) {
  vec total{};
  for (int64_t row = 0; row < rows; ++row) total += load(dy + row * row_stride, width);
  store(dbias, total, width);
}

template <class T> void bias_gradient(const ops::linear_weight_gradient::args& a, const context& c) {
  const int64_t rows = a.dy.rows(), stride = a.dy.columns(), count = a.end - a.begin;
  const T* dy = a.dy.as<T>() + a.begin;
  float* dbias = a.dbias.as<float>();
  constexpr int vectors = 8;
  constexpr int64_t chunk = vectors * lanes;
  parallel_for(c, (count + chunk - 1) / chunk, 1, [&](int64_t begin, int64_t end) {
    for (int64_t column = begin * chunk; column < std::min(count, end * chunk);) {
      const int64_t left = count - column;
      if (left >= chunk) {
        sum_columns<T, vectors>(dy + column, rows, stride, dbias + column);
        column += chunk;
      } else if (left >= lanes) {
        sum_columns<T, 1>(dy + column, rows, stride, dbias + column);
        column += lanes;
      } else {
        sum_rest(dy + column, rows, stride, int(left), dbias + column);
        column += left;
      }
    }
  });
}

}  // namespace

plan<ops::linear_weight_gradient>::plan(const ops::linear_weight_gradient::args& a, context&) : args_(a) {
  if (a.dweight.data == nullptr) return;
  const int64_t rows = a.dy.rows(), outer = a.end - a.begin, inner = a.x.columns();
  product_.emplace(product_form{.a = transposed(column_slice(a.dy.type, rows, outer, a.dy.columns())),
                                .b = dense(a.x.type, rows, inner),
                                .c = dense(dtype::f32, outer, inner)});
}

void plan<ops::linear_weight_gradient>::run(context& c) {
  const ops::linear_weight_gradient::args& a = args_;
  if (product_) product_->run(offset(a.dy.data, a.begin, a.dy.type), a.x.data, a.dweight.data);
  if (a.dbias.data == nullptr) return;
  a.dy.type == dtype::f32 ? bias_gradient<float>(a, c) : bias_gradient<bf16>(a, c);
}

namespace {

/// The last two dimensions as a matrix, the others as a batch.
matrix_layout matrices(const tensor& t, bool exchanged) {
  matrix_layout m = dense(t.type, t.dim(-2), t.dim(-1));
  m.batch = element_count(leading(t.dims, 2));
  m.batch_stride = t.dim(-2) * t.dim(-1);
  return exchanged ? transposed(m) : m;
}

}  // namespace

plan<ops::matmul>::plan(const ops::matmul::args& a, context&)
    : args_(a),
      product_(product_form{
          .a = matrices(a.a, a.transpose_a), .b = matrices(a.b, a.transpose_b), .c = matrices(a.y, false)}) {}

void plan<ops::matmul>::run(context&) { product_.run(args_.a.data, args_.b.data, args_.y.data); }

}  // namespace eva::cpu::EVA_CLIP_ISA
