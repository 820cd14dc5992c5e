#include "cpu/linear.h"

#include "cpu/column_sums.h"

namespace eva::cpu::EVA_CLIP_ISA {
plan<ops::linear>::plan(const ops::linear::args& a, context&) : args_(a) {
  const dtype type = a.x.type;
  const int64_t rows = a.x.rows(), inner = a.x.columns(), columns = a.y.columns();
  gemm_spec spec{.a = dense(type, rows, inner),
                 .b = transposed(dense(type, columns, inner)),
                 .c = dense(type, rows, columns),
                 .bias = a.bias.present()};
  // Without a reader of y, `pre` is the result.
  if (a.y.data) {
    spec.activation = a.act;
    if (a.residual.present()) spec.addend = spec.c;
    spec.pre = a.pre.data != nullptr;
  }
  gemm_.emplace(spec);
}

void plan<ops::linear>::run(context&) {
  const ops::linear::args& a = args_;
  gemm_->run(a.x.data, a.weight.data, a.y.data ? a.y.data : a.pre.data, a.bias.as<float>(), a.residual.data,
             a.pre.data);
}

plan<ops::linear_input_gradient>::plan(const ops::linear_input_gradient::args& a, context&)
    : args_(a),
      gemm_(gemm_spec{.a = dense(a.dy.type, a.dy.rows(), a.dy.columns()),
                      .b = dense(a.dy.type, a.dy.columns(), a.dx.columns()),
                      .c = dense(a.dy.type, a.dy.rows(), a.dx.columns())}) {}

void plan<ops::linear_input_gradient>::run(context&) {
  gemm_.run(args_.dy.data, args_.weight.data, args_.dx.data);
}

plan<ops::linear_weight_gradient>::plan(const ops::linear_weight_gradient::args& a, context&) : args_(a) {
  if (a.dweight.data == nullptr) return;
  const int64_t rows = a.dy.rows(), outer = a.dy.columns(), inner = a.x.columns();
  gemm_.emplace(gemm_spec{.a = transposed(dense(a.dy.type, rows, outer)),
                          .b = dense(a.x.type, rows, inner),
                          .c = dense(dtype::f32, outer, inner)});
}

void plan<ops::linear_weight_gradient>::run(context& c) {
  const ops::linear_weight_gradient::args& a = args_;
  if (gemm_) gemm_->run(a.dy.data, a.x.data, a.dweight.data);
  if (a.dbias.data) sum_columns(a.dy, a.dbias, c);
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
