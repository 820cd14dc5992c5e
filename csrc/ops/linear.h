#pragma once

#include "ops/op.h"

namespace eva::ops {

enum class activation : uint8_t { none, gelu, quick_gelu };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<activation>{"none", "gelu", "quick_gelu"};

/// y = act(x Wᵀ + b) + residual
struct linear {
  static constexpr auto name = "linear";
  struct args {
    tensor x;         // [..., K]
    tensor weight;    // [N, K], x's type
    tensor bias;      // [N] f32, optional
    tensor residual;  // [..., N], x's type, optional
    tensor y;         // [..., N]
    tensor pre;       // [..., N], x Wᵀ + b, saved for the backward pass
    activation act = activation::none;
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x},
                                            input{"weight", &args::weight},
                                            optional_input{"bias", &args::bias},
                                            optional_input{"residual", &args::residual},
                                            output{"y", &args::y},
                                            output{"pre", &args::pre},
                                            attribute{"activation", &args::act}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    expect_rank(name, "weight", a.weight, 1, 8);
    expect_shape(name, "weight", a.weight, {a.weight.dim(0), a.x.columns()});
    expect_type(name, "weight", a.weight, a.x.type);
    expect_if_present(name, "bias", a.bias, dtype::f32, {a.weight.dim(0)});
    const shape dims = append(leading(a.x.dims), a.weight.dim(0));
    expect_if_present(name, "residual", a.residual, a.x.type, dims);
    a.y = a.pre = {a.x.type, dims};
  }
  static double flops(const args& a) { return 2.0 * double(a.y.size()) * double(a.x.columns()); }
};

/// dx = dy W, with W as in linear.
struct linear_input_gradient {
  static constexpr auto name = "linear_input_gradient";
  struct args {
    tensor dy;      // [..., N]
    tensor weight;  // [N, K]
    tensor dx;      // [..., K]
  };
  static constexpr auto fields =
      std::tuple{input{"dy", &args::dy}, input{"weight", &args::weight}, output{"dx", &args::dx}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_rank(name, "dy", a.dy, 1, 8);
    expect_rank(name, "weight", a.weight, 2, 2);
    expect(name, "weight", a.weight, a.dy.type, {a.dy.columns(), a.weight.columns()});
    a.dx = {a.dy.type, append(leading(a.dy.dims), a.weight.columns())};
  }
  static double flops(const args& a) { return 2.0 * double(a.dx.size()) * double(a.dy.columns()); }
};

/// dW = dyᵀ x, and db = the column sums of dy.
struct linear_weight_gradient {
  static constexpr auto name = "linear_weight_gradient";
  struct args {
    tensor dy;       // [..., N]
    tensor x;        // [..., K]
    tensor dweight;  // [N, K] f32
    tensor dbias;    // [N] f32
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy}, input{"x", &args::x},
                                            output{"dweight", &args::dweight}, output{"dbias", &args::dbias}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_rank(name, "dy", a.dy, 1, 8);
    expect_type(name, "x", a.x, a.dy.type);
    expect_rank(name, "x", a.x, 1, 8);
    expect(a.dy.rows() == a.x.rows(), name, "dy and x must have the same rows");
    a.dweight = {dtype::f32, {a.dy.columns(), a.x.columns()}};
    a.dbias = {dtype::f32, {a.dy.columns()}};
  }
  static double flops(const args& a) { return 2.0 * double(a.dweight.size()) * double(a.x.rows()); }
};

/// y = a b, for matrices or batches of matrices, either operand optionally transposed.
struct matmul {
  static constexpr auto name = "matmul";
  struct args {
    tensor a;  // [..., M, K], or [..., K, M] transposed
    tensor b;  // [..., K, N], or [..., N, K] transposed
    tensor y;  // [..., M, N]
    bool transpose_a = false;
    bool transpose_b = false;
  };
  static constexpr auto fields =
      std::tuple{input{"a", &args::a}, input{"b", &args::b}, output{"y", &args::y},
                 attribute{"transpose_a", &args::transpose_a}, attribute{"transpose_b", &args::transpose_b}};
  static void infer(args& a) {
    expect_float(name, "a", a.a);
    expect_type(name, "b", a.b, a.a.type);
    expect_rank(name, "a", a.a, 2, 8);
    expect_rank(name, "b", a.b, a.a.rank(), a.a.rank());
    const int64_t m = a.a.dim(a.transpose_a ? -1 : -2), k = a.a.dim(a.transpose_a ? -2 : -1);
    const int64_t n = a.b.dim(a.transpose_b ? -2 : -1);
    shape expected = append(append(leading(a.a.dims, 2), k), n);
    if (a.transpose_b) std::swap(expected[expected.size() - 1], expected[expected.size() - 2]);
    expect_shape(name, "b", a.b, expected);
    a.y = {a.a.type, append(append(leading(a.a.dims, 2), m), n)};
  }
  static double flops(const args& a) {
    return 2.0 * double(a.y.size()) * double(a.a.dim(a.transpose_a ? -2 : -1));
  }
};

}  // namespace eva::ops
