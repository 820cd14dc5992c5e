#pragma once

#include "ops/op.h"

namespace eva::ops {

/// Fields and shape rule of y = f(a, b), where b has a's shape or the shape of a's last dimensions (a bias
/// [C] against [T, C], a scalar [] against anything) and is broadcast.
template <class Op> struct binary_op {
  struct args {
    tensor a;  // [...]
    tensor b;  // a's shape or a suffix of it
    tensor y;  // a's shape and type
  };
  static constexpr auto fields =
      std::tuple{input{"a", &args::a}, input{"b", &args::b}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_float(Op::name, "a", a.a);
    expect_float(Op::name, "b", a.b);
    if (!is_suffix(a.b.dims, a.a.dims)) fail_shape(Op::name, "b", to_string(a.a.dims) + " or a suffix", a.b);
    a.y = {a.a.type, a.a.dims};
  }
};

struct add : binary_op<add> {
  static constexpr auto name = "add";
};
struct subtract : binary_op<subtract> {
  static constexpr auto name = "subtract";
};
struct multiply : binary_op<multiply> {
  static constexpr auto name = "multiply";
};
struct divide : binary_op<divide> {
  static constexpr auto name = "divide";
};

/// Fields and shape rule of an elementwise y = f(x).
template <class Op> struct unary_op {
  struct args {
    tensor x;  // [...]
    tensor y;  // [...], x's type
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_float(Op::name, "x", a.x);
    a.y = {a.x.type, a.x.dims};
  }
};

struct exp : unary_op<exp> {
  static constexpr auto name = "exp";
};
struct log : unary_op<log> {
  static constexpr auto name = "log";
};
struct sqrt : unary_op<sqrt> {
  static constexpr auto name = "sqrt";
};
struct tanh : unary_op<tanh> {
  static constexpr auto name = "tanh";
};
/// 1 / (1 + e^-x)
struct sigmoid : unary_op<sigmoid> {
  static constexpr auto name = "sigmoid";
};
/// log(1 + e^x), without overflow
struct softplus : unary_op<softplus> {
  static constexpr auto name = "softplus";
};
/// x Φ(x), the exact (erf) form (Hendrycks and Gimpel 2016)
struct gelu : unary_op<gelu> {
  static constexpr auto name = "gelu";
};
/// x σ(1.702 x), the approximation that OpenAI's CLIP was trained with
struct quick_gelu : unary_op<quick_gelu> {
  static constexpr auto name = "quick_gelu";
};

/// dx = dy f'(x) of an activation.
template <class Op> struct activation_backward {
  struct args {
    tensor dy;       // [...]
    tensor x;        // [...]
    tensor dx;       // [...], dy's type
    tensor dx_sums;  // [C] f32, the column sums of dx: the gradient of a bias added to x
  };
  static constexpr auto fields =
      std::tuple{input{"dy", &args::dy}, input{"x", &args::x}, output{"dx", &args::dx},
                 output{"dx_sums", &args::dx_sums, &args::dx}};
  static void infer(args& a) {
    expect_float(Op::name, "x", a.x);
    expect_float(Op::name, "dy", a.dy);
    expect_shape(Op::name, "dy", a.dy, a.x.dims);
    a.dx = {a.dy.type, a.dy.dims};
    a.dx_sums = {dtype::f32, {a.x.columns()}};
  }
};

struct gelu_backward : activation_backward<gelu_backward> {
  static constexpr auto name = "gelu_backward";
};
struct quick_gelu_backward : activation_backward<quick_gelu_backward> {
  static constexpr auto name = "quick_gelu_backward";
};

/// y = factor x + offset
struct scale {
  static constexpr auto name = "scale";
  struct args {
    tensor x;  // [...]
    tensor y;  // [...]
    float factor = 1;
    float offset = 0;
  };
  static constexpr auto fields =
      std::tuple{input{"x", &args::x}, output{"y", &args::y}, attribute{"factor", &args::factor},
                 attribute{"offset", &args::offset}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    a.y = {a.x.type, a.x.dims};
  }
};

/// y = x in another floating-point type; bf16 rounds to nearest even.
struct cast {
  static constexpr auto name = "cast";
  struct args {
    tensor x;  // [...]
    tensor y;  // [...]
    dtype type = dtype::f32;
  };
  static constexpr auto fields =
      std::tuple{input{"x", &args::x}, output{"y", &args::y}, attribute{"type", &args::type}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect(is_float(a.type), name, "type must be f32 or bf16");
    a.y = {a.type, a.x.dims};
  }
};

/// copies[i] = parameters[i] in bf16, rounded to nearest even: for weights that the
/// optimizer did not write.
struct cast_update {
  static constexpr auto name = "cast_update";
  struct args {
    tensors parameters;  // f32, any shapes
    tensors copies;      // bf16, the same shapes
  };
  static constexpr auto fields =
      std::tuple{input_list{"parameters", &args::parameters}, inout_list{"copies", &args::copies}};
  static void infer(args& a) {
    expect(a.parameters.size() == a.copies.size(), name, "copies must have one entry per parameter");
    for (size_t i = 0; i < a.copies.size(); ++i) {
      expect_type(name, "parameters", a.parameters[i], dtype::f32);
      expect(name, "copies", a.copies[i], dtype::bf16, a.parameters[i].dims);
    }
  }
};

}  // namespace eva::ops
