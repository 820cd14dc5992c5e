#include "cuda/activation.cuh"
#include "cuda/column_sums.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/linear/linear.h"

namespace eva::cuda {
namespace {

constexpr int threads = 256;

template <ops::activation Activation> __device__ float activate(float x) {
  if constexpr (Activation == ops::activation::gelu) return gelu(x);
  if constexpr (Activation == ops::activation::quick_gelu) return quick_gelu(x);
  return x;
}

// The part of the epilogue that the GEMM cannot do: y = act(pre) + residual; pre may be y.
// Expected bound: HBM bandwidth; reads pre and residual, writes y.
template <class T, int Width, ops::activation Activation>
__global__ void __launch_bounds__(threads)
    linear_epilogue_kernel(const T* pre, const T* residual, T* y, int64_t count) {
  for_groups<Width>(count, [&]<int Group>(int64_t i, width<Group>) {
    float x[Group], added[Group] = {};
    load_elements<Group>(pre + i, x);
    if (residual) load_elements<Group>(residual + i, added);
    for (int j = 0; j < Group; ++j) x[j] = activate<Activation>(x[j]) + added[j];
    store_elements<Group>(y + i, x);
  });
}

__global__ void __launch_bounds__(threads)
    linear_round_bias_kernel(const float* bias, device::bf16* rounded, int64_t count) {
  for_groups<1>(count, [&](int64_t i, auto) { rounded[i] = device::to_bf16(bias[i]); });
}

template <ops::activation Activation>
void launch_epilogue(const ops::linear::args& a, const void* pre, context& c) {
  for_element_type(a.y.type, [&]<class T>(T*) {
    const tensor residual = a.residual.present() ? a.residual : tensor{};
    for_width(aligned(a.y, residual) && reinterpret_cast<uintptr_t>(pre) % 16 == 0, [&](auto wide) {
      device::launch(linear_epilogue_kernel<T, wide, Activation>, blocks_of(a.y.size(), threads * wide),
                     threads, 0, c.stream, static_cast<const T*>(pre), residual.as<const T>(), a.y.as<T>(),
                     a.y.size());
    });
  });
}

}  // namespace

plan<ops::linear>::plan(const ops::linear::args& a, context& c)
    : args_(a), needs_epilogue_(a.act != ops::activation::none || (a.pre.data && a.residual.present())) {
  const dtype type = a.x.type;
  const int64_t rows = a.x.rows(), columns = a.y.columns();
  if (type == dtype::bf16 && a.bias.present())
    rounded_bias_ = device::buffer(size_t(columns * size_of(type)));
  const gemm_problem problem{.a = dense(type, rows, a.x.columns()),
                             .b = transposed(dense(type, columns, a.x.columns())),
                             .c = dense(type, rows, columns),
                             .bias = a.bias.present(),
                             .has_addend = a.residual.present() && !needs_epilogue_};
  gemm_.emplace(problem, operands(), c);
}

gemm_operands plan<ops::linear>::operands() const {
  const ops::linear::args& a = args_;
  return {.a = a.x.data,
          .b = a.weight.data,
          .c = a.pre.data ? a.pre.data : a.y.data,
          .bias = rounded_bias_.data() ? rounded_bias_.data() : a.bias.data,
          .addend = needs_epilogue_ ? nullptr : a.residual.data};
}

void plan<ops::linear>::round_bias(context& c) {
  auto* rounded = static_cast<device::bf16*>(rounded_bias_.data());
  if (!rounded) return;
  const int64_t count = args_.bias.size();
  device::launch(linear_round_bias_kernel, blocks_of(count, threads), threads, 0, c.stream,
                 args_.bias.as<const float>(), rounded, count);
}

void plan<ops::linear>::run_epilogue(context& c) const {
  const void* pre = args_.pre.data ? args_.pre.data : args_.y.data;
  switch (args_.act) {
    case ops::activation::none:
      return launch_epilogue<ops::activation::none>(args_, pre, c);
    case ops::activation::gelu:
      return launch_epilogue<ops::activation::gelu>(args_, pre, c);
    case ops::activation::quick_gelu:
      return launch_epilogue<ops::activation::quick_gelu>(args_, pre, c);
  }
}

void plan<ops::linear>::run(context& c) {
  round_bias(c);
  gemm_->run(operands(), c);
  // Without an activation and a residual, y is a copy of pre.
  if (args_.y.data && (needs_epilogue_ || args_.pre.data)) run_epilogue(c);
}

plan<ops::linear_input_gradient>::plan(const ops::linear_input_gradient::args& a, context& c)
    : args_(a),
      gemm_({.a = dense(a.dy.type, a.dy.rows(), a.dy.columns()),
             .b = dense(a.dy.type, a.dy.columns(), a.dx.columns()),
             .c = dense(a.dy.type, a.dy.rows(), a.dx.columns())},
            operands(), c) {}

gemm_operands plan<ops::linear_input_gradient>::operands() const {
  return {.a = args_.dy.data, .b = args_.weight.data, .c = args_.dx.data};
}

void plan<ops::linear_input_gradient>::run(context& c) { gemm_.run(operands(), c); }

plan<ops::linear_weight_gradient>::plan(const ops::linear_weight_gradient::args& a, context& c) : args_(a) {
  if (a.dweight.data == nullptr) return;
  const gemm_problem problem{.a = transposed(dense(a.dy.type, a.dy.rows(), a.dy.columns())),
                             .b = dense(a.x.type, a.x.rows(), a.x.columns()),
                             .c = dense(dtype::f32, a.dy.columns(), a.x.columns())};
  gemm_.emplace(problem, operands(), c);
}

gemm_operands plan<ops::linear_weight_gradient>::operands() const {
  return {.a = args_.dy.data, .b = args_.x.data, .c = args_.dweight.data};
}

void plan<ops::linear_weight_gradient>::run(context& c) {
  const ops::linear_weight_gradient::args& a = args_;
  if (gemm_) gemm_->run(operands(), c);
  if (a.dbias.data == nullptr) return;
  for_element_type(a.dy.type, [&]<class T>(T*) {
    column_sums(a.dy.as<const T>(), a.dy.rows(), a.dy.columns(), a.dy.columns(), a.dbias.as<float>(), c);
  });
}

namespace {

/// The last two dimensions as a matrix, the leading ones as a batch.
matrix_layout batched_layout(const tensor& t, bool is_transposed) {
  matrix_layout m = dense(t.type, t.dim(-2), t.dim(-1));
  m.batch = element_count(leading(t.dims, 2));
  m.batch_stride = t.dim(-2) * t.dim(-1);
  return is_transposed ? transposed(m) : m;
}

gemm_operands operands_of(const ops::matmul::args& a) {
  return {.a = a.a.data, .b = a.b.data, .c = a.y.data};
}

}  // namespace

plan<ops::matmul>::plan(const ops::matmul::args& a, context& c)
    : args_(a),
      gemm_({.a = batched_layout(a.a, a.transpose_a),
             .b = batched_layout(a.b, a.transpose_b),
             .c = batched_layout(a.y, false)},
            operands_of(a), c) {}

void plan<ops::matmul>::run(context& c) { gemm_.run(operands_of(args_), c); }

}  // namespace eva::cuda
