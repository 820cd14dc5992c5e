#pragma once

#include "ops/op.h"

namespace eva::ops {

enum class activation : uint8_t { none, gelu, quick_gelu };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<activation>{"none", "gelu", "quick_gelu"};

/// y = act(x Wᵀ + b) + residual, where W stacks the rows of `weights` and b their biases: the separate
/// q, k and v projections of EVA-02, or the gate and the value of SwiGLU, are one op with one output.
struct linear {
  static constexpr auto name = "linear";
  struct args {
    tensor x;         // [..., K]
    tensors weights;  // [N_i, K] each, x's type
    tensors biases;   // [N_i] f32 each; empty, or one entry per weight, which may be absent
    tensor residual;  // [..., N], x's type, optional
    tensor y;         // [..., N], N = sum N_i
    tensor pre;       // [..., N], x Wᵀ + b, saved for the backward pass
    activation act = activation::none;
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x},
                                            input_list{"weights", &args::weights},
                                            input_list{"biases", &args::biases},
                                            optional_input{"residual", &args::residual},
                                            output{"y", &args::y},
                                            output{"pre", &args::pre},
                                            attribute{"activation", &args::act}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    expect(!a.weights.empty(), name, "weights must hold at least one matrix");
    expect(a.biases.empty() || a.biases.size() == a.weights.size(), name,
           "biases must be empty or have one entry per weight");
    int64_t n = 0;
    for (size_t i = 0; i < a.weights.size(); ++i) {
      const tensor& weight = a.weights[i];
      expect_rank(name, "weights", weight, 1, 8);
      expect_shape(name, "weights", weight, {weight.dim(0), a.x.columns()});
      expect_type(name, "weights", weight, a.x.type);
      if (!a.biases.empty() && a.biases[i].present()) {
        expect_shape(name, "biases", a.biases[i], {weight.dim(0)});
        expect_type(name, "biases", a.biases[i], dtype::f32);
      }
      n += weight.dim(0);
    }
    const shape dims = append(leading(a.x.dims), n);
    if (a.residual.present()) {
      expect_shape(name, "residual", a.residual, dims);
      expect_type(name, "residual", a.residual, a.x.type);
    }
    a.y = a.pre = {a.x.type, dims};
  }
  static double flops(const args& a) { return 2.0 * double(a.y.size()) * double(a.x.columns()); }
};

/// dx = dy W, with W as in linear.
struct linear_input_gradient {
  static constexpr auto name = "linear_input_gradient";
  struct args {
    tensor dy;        // [..., N]
    tensors weights;  // [N_i, K] each
    tensor dx;        // [..., K]
  };
  static constexpr auto fields =
      std::tuple{input{"dy", &args::dy}, input_list{"weights", &args::weights}, output{"dx", &args::dx}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_rank(name, "dy", a.dy, 1, 8);
    expect(!a.weights.empty(), name, "weights must hold at least one matrix");
    int64_t n = 0;
    for (const tensor& weight : a.weights) {
      expect_rank(name, "weights", weight, 1, 8);
      expect(name, "weights", weight, a.dy.type, {weight.dim(0), a.weights[0].columns()});
      n += weight.dim(0);
    }
    expect_shape(name, "dy", a.dy, append(leading(a.dy.dims), n));
    a.dx = {a.dy.type, append(leading(a.dy.dims), a.weights[0].columns())};
  }
  static double flops(const args& a) { return 2.0 * double(a.dx.size()) * double(a.dy.columns()); }
};

/// dW = dyᵀ x and db = the column sums of dy, for the columns begin … end-1 of dy: one of the stacked
/// weights.
struct linear_weight_gradient {
  static constexpr auto name = "linear_weight_gradient";
  struct args {
    tensor dy;       // [..., N]
    tensor x;        // [..., K]
    tensor dweight;  // [end - begin, K] f32
    tensor dbias;    // [end - begin] f32
    int64_t begin = 0;
    int64_t end = 0;
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy},
                                            input{"x", &args::x},
                                            output{"dweight", &args::dweight},
                                            output{"dbias", &args::dbias},
                                            attribute{"begin", &args::begin},
                                            attribute{"end", &args::end}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_rank(name, "dy", a.dy, 1, 8);
    expect_type(name, "x", a.x, a.dy.type);
    expect_rank(name, "x", a.x, 1, 8);
    expect(0 <= a.begin && a.begin < a.end && a.end <= a.dy.columns(), name, "0 <= begin < end <= N");
    expect(a.dy.rows() == a.x.rows(), name, "dy and x must have the same rows");
    a.dweight = {dtype::f32, {a.end - a.begin, a.x.columns()}};
    a.dbias = {dtype::f32, {a.end - a.begin}};
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
