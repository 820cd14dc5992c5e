#pragma once

#include "ops/op.h"

namespace eva::ops {

/// y = the sum of x over all but the last `kept` dimensions. kept = 0 gives a scalar.
struct sum_leading {
  static constexpr auto name = "sum_leading";
  struct args {
    tensor x;  // [..., kept dimensions]
    tensor y;  // [kept dimensions] f32
    int64_t kept = 0;
  };
  static constexpr auto fields =
      std::tuple{input{"x", &args::x}, output{"y", &args::y}, attribute{"kept", &args::kept}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect(a.kept >= 0 && a.kept <= a.x.rank(), name, "kept must be between 0 and the rank of x");
    a.y = {dtype::f32, {a.x.dims.end() - a.kept, a.x.dims.end()}};
  }
};

/// y = the sum of x over its last dimension.
struct sum_last {
  static constexpr auto name = "sum_last";
  struct args {
    tensor x;  // [..., C]
    tensor y;  // [...] f32
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    a.y = {dtype::f32, leading(a.x.dims)};
  }
};

/// y = x broadcast to the shape of `like`. The shape of x is a suffix of that shape or, with `last`, all of
/// it but the last dimension.
struct expand {
  static constexpr auto name = "expand";
  struct args {
    tensor x;     // a suffix of like's shape; [...] when last
    tensor like;  // [..., C]; only its shape is read
    tensor y;     // like's shape, x's type
    bool last = false;
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, input{"like", &args::like},
                                            output{"y", &args::y}, attribute{"last", &args::last}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    if (a.last) {
      expect_rank(name, "like", a.like, 1, 8);
      expect_shape(name, "x", a.x, leading(a.like.dims));
    } else if (!is_suffix(a.x.dims, a.like.dims)) {
      fail_shape(name, "x", "a suffix of " + to_string(a.like.dims), a.x);
    }
    a.y = {a.x.type, a.like.dims};
  }
};

/// Fields and shape rule of a softmax over the last dimension.
template <class Op> struct softmax_op {
  struct args {
    tensor x;  // [..., C]
    tensor y;  // [..., C]
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_float(Op::name, "x", a.x);
    expect_rank(Op::name, "x", a.x, 1, 8);
    a.y = {a.x.type, a.x.dims};
  }
};

template <class Op> struct softmax_backward_op {
  struct args {
    tensor dy;  // [..., C]
    tensor y;   // [..., C]
    tensor dx;  // [..., C]
  };
  static constexpr auto fields =
      std::tuple{input{"dy", &args::dy}, input{"y", &args::y}, output{"dx", &args::dx}};
  static void infer(args& a) {
    expect_float(Op::name, "y", a.y);
    expect_rank(Op::name, "y", a.y, 1, 8);
    expect(Op::name, "dy", a.dy, a.y.type, a.y.dims);
    a.dx = {a.dy.type, a.dy.dims};
  }
};

/// y = e^x / sum e^x over the last dimension
struct softmax : softmax_op<softmax> {
  static constexpr auto name = "softmax";
};
/// y = x - log(sum e^x) over the last dimension
struct log_softmax : softmax_op<log_softmax> {
  static constexpr auto name = "log_softmax";
};
/// dx = y (dy - sum(y dy))
struct softmax_backward : softmax_backward_op<softmax_backward> {
  static constexpr auto name = "softmax_backward";
};
/// dx = dy - e^y sum(dy)
struct log_softmax_backward : softmax_backward_op<log_softmax_backward> {
  static constexpr auto name = "log_softmax_backward";
};

}  // namespace eva::ops
