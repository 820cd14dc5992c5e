#pragma once

#include "ops/op.h"

namespace eva::ops {

/// y = x / max(‖x‖, eps) over the last axis.
struct l2_normalize {
  static constexpr auto name = "l2_normalize";
  struct args {
    tensor x;     // [..., E]
    tensor y;     // [..., E]
    tensor norm;  // [...] f32, max(‖x‖, eps), kept for the backward pass
    float eps = 1e-12f;
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, output{"y", &args::y},
                                            output{"norm", &args::norm}, attribute{"eps", &args::eps}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    a.y = {a.x.type, a.x.dims};
    a.norm = {dtype::f32, leading(a.x.dims)};
  }
};

/// dx = (dy - y (y · dy)) / norm
struct l2_normalize_backward {
  static constexpr auto name = "l2_normalize_backward";
  struct args {
    tensor dy;    // [..., E]
    tensor y;     // [..., E]
    tensor norm;  // [...] f32
    tensor dx;    // [..., E]
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy}, input{"y", &args::y},
                                            input{"norm", &args::norm}, output{"dx", &args::dx}};
  static void infer(args& a) {
    expect_float(name, "y", a.y);
    expect_rank(name, "y", a.y, 1, 8);
    expect(name, "dy", a.dy, a.y.type, a.y.dims);
    expect(name, "norm", a.norm, dtype::f32, leading(a.y.dims));
    a.dx = {a.dy.type, a.dy.dims};
  }
};

}  // namespace eva::ops
