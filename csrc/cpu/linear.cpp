#include "cpu/linear.h"

#include "cpu/activation.h"
#include "cpu/column_sums.h"
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
      return gelu(x);
    case ops::activation::quick_gelu:
      return quick_gelu(x);
    case ops::activation::none:
      return x;
  }
  return x;
}

/// y = act(pre) + residual
template <class T> void epilogue(const ops::linear::args& a, const context& c) {
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
    gemm_spec spec{.a = dense(type, rows, inner),
                   .b = transposed(dense(type, outer, inner)),
                   .c = column_slice(type, rows, outer, columns),
                   .bias = !a.biases.empty() && a.biases[i].present()};
    if (!keeps_pre) {
      spec.activation = a.act;
      if (a.residual.present()) spec.addend = spec.c;
    }
    gemms_.emplace_back(spec);
  }
}

void plan<ops::linear>::run(context& c) {
  const ops::linear::args& a = args_;
  const bool keeps_pre = a.pre.data != nullptr;
  void* target = keeps_pre ? a.pre.data : a.y.data;
  int64_t column = 0;
  for (size_t i = 0; i < gemms_.size(); ++i) {
    const float* bias = a.biases.empty() ? nullptr : a.biases[i].as<float>();
    const void* addend = a.residual.present() ? offset(a.residual.data, column, a.y.type) : nullptr;
    gemms_[i].run(a.x.data, a.weights[i].data, offset(target, column, a.y.type), bias, addend);
    column += a.weights[i].dim(0);
  }
  if (!keeps_pre || a.y.data == nullptr) return;
  a.y.type == dtype::f32 ? epilogue<float>(a, c) : epilogue<bf16>(a, c);
}

plan<ops::linear_input_gradient>::plan(const ops::linear_input_gradient::args& a, context&) : args_(a) {
  const dtype type = a.dy.type;
  const int64_t rows = a.dy.rows(), inner = a.dx.columns(), columns = a.dy.columns();
  for (size_t i = 0; i < a.weights.size(); ++i) {
    const int64_t outer = a.weights[i].dim(0);
    gemms_.emplace_back(gemm_spec{.a = column_slice(type, rows, outer, columns),
                                  .b = dense(type, outer, inner),
                                  .c = dense(type, rows, inner),
                                  .accumulate = i > 0});
  }
}

void plan<ops::linear_input_gradient>::run(context&) {
  const ops::linear_input_gradient::args& a = args_;
  int64_t column = 0;
  for (size_t i = 0; i < gemms_.size(); ++i) {
    gemms_[i].run(offset(a.dy.data, column, a.dy.type), a.weights[i].data, a.dx.data);
    column += a.weights[i].dim(0);
  }
}

namespace {

/// dbias = the sums of the columns begin … end-1 of dy
template <class T> void bias_gradient(const ops::linear_weight_gradient::args& a, const context& c) {
  const int64_t stride = a.dy.columns(), count = a.end - a.begin;
  const T* dy = a.dy.as<T>() + a.begin;
  const column_sums sums(c, count, 1);
  // Four rows at a time: fewer passes over the sums, and fewer roundings.
  const int64_t rows = a.dy.rows(), fours = rows / 4;
  parallel_for(c, fours, 16, [&](int64_t first, int64_t last) {
    float* mine = sums.mine(0);
    for (int64_t four = first; four < last; ++four) {
      const T* row = dy + four * 4 * stride;
      sweep(count, [&](int64_t j, auto width) {
        const vec upper = load(row + j, width) + load(row + stride + j, width);
        const vec lower = load(row + 2 * stride + j, width) + load(row + 3 * stride + j, width);
        store(mine + j, load(mine + j, width) + (upper + lower), width);
      });
    }
  });
  float* first_sums = sums.mine(0);
  for (int64_t row = fours * 4; row < rows; ++row)
    sweep(count, [&](int64_t j, auto width) {
      store(first_sums + j, load(first_sums + j, width) + load(dy + row * stride + j, width), width);
    });
  sums.write(0, a.dbias.as<float>());
}

}  // namespace

plan<ops::linear_weight_gradient>::plan(const ops::linear_weight_gradient::args& a, context&) : args_(a) {
  if (a.dweight.data == nullptr) return;
  const int64_t rows = a.dy.rows(), outer = a.end - a.begin, inner = a.x.columns();
  gemm_.emplace(gemm_spec{.a = transposed(column_slice(a.dy.type, rows, outer, a.dy.columns())),
                          .b = dense(a.x.type, rows, inner),
                          .c = dense(dtype::f32, outer, inner)});
}

void plan<ops::linear_weight_gradient>::run(context& c) {
  const ops::linear_weight_gradient::args& a = args_;
  if (gemm_) gemm_->run(offset(a.dy.data, a.begin, a.dy.type), a.x.data, a.dweight.data);
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
      gemm_(gemm_spec{
          .a = matrices(a.a, a.transpose_a), .b = matrices(a.b, a.transpose_b), .c = matrices(a.y, false)}) {}

void plan<ops::matmul>::run(context&) { gemm_.run(args_.a.data, args_.b.data, args_.y.data); }

}  // namespace eva::cpu::EVA_CLIP_ISA
