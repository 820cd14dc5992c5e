#pragma once

#include "ops/op.h"

namespace eva::ops {

/// y = the transpose of a matrix, or of each matrix of a batch.
struct transpose {
  static constexpr auto name = "transpose";
  struct args {
    tensor x;  // [..., M, N]
    tensor y;  // [..., N, M]
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_rank(name, "x", a.x, 2, 8);
    a.y = {a.x.type, a.x.dims};
    std::swap(a.y.dims[a.y.dims.size() - 1], a.y.dims[a.y.dims.size() - 2]);
  }
};

/// y = the inputs concatenated along the first dimension.
struct concat {
  static constexpr auto name = "concat";
  struct args {
    tensors xs;  // each [N_i, ...]
    tensor y;    // [sum N_i, ...]
  };
  static constexpr auto fields = std::tuple{input_list{"xs", &args::xs}, output{"y", &args::y}};
  static void infer(args& a) {
    expect(!a.xs.empty(), name, "xs must hold at least one tensor");
    a.y = {a.xs[0].type, a.xs[0].dims};
    expect_rank(name, "xs", a.xs[0], 1, 8);
    a.y.dims[0] = 0;
    for (const tensor& x : a.xs) {
      shape expected = a.xs[0].dims;
      if (x.rank() == a.xs[0].rank()) expected[0] = x.dim(0);
      expect_shape(name, "xs", x, expected);
      expect_type(name, "xs", x, a.y.type);
      a.y.dims[0] += x.dim(0);
    }
  }
};

/// y = x[begin : end] along the first dimension.
struct slice {
  static constexpr auto name = "slice";
  struct args {
    tensor x;  // [N, ...]
    tensor y;  // [end - begin, ...]
    int64_t begin = 0;
    int64_t end = 0;
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, output{"y", &args::y},
                                            attribute{"begin", &args::begin}, attribute{"end", &args::end}};
  static void infer(args& a) {
    expect_rank(name, "x", a.x, 1, 8);
    expect(0 <= a.begin && a.begin <= a.end && a.end <= a.x.dim(0), name,
           "0 <= begin <= end <= " + std::to_string(a.x.dim(0)));
    a.y = {a.x.type, a.x.dims};
    a.y.dims[0] = a.end - a.begin;
  }
};

/// y = x at rows begin, begin + 1, … of `rows` rows, zero elsewhere: the gradient of slice.
struct pad {
  static constexpr auto name = "pad";
  struct args {
    tensor x;  // [N, ...]
    tensor y;  // [rows, ...]
    int64_t begin = 0;
    int64_t rows = 0;
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, output{"y", &args::y},
                                            attribute{"begin", &args::begin}, attribute{"rows", &args::rows}};
  static void infer(args& a) {
    expect_rank(name, "x", a.x, 1, 8);
    expect(a.begin >= 0 && a.begin + a.x.dim(0) <= a.rows, name, "begin + rows of x <= rows");
    a.y = {a.x.type, a.x.dims};
    a.y.dims[0] = a.rows;
  }
};

/// y[i] = x[index[i]]: the pooled rows of a packed batch.
struct gather_rows {
  static constexpr auto name = "gather_rows";
  struct args {
    tensor x;      // [..., C], taken as [T, C]
    tensor index;  // [B] i32, each in 0 … T-1
    tensor y;      // [B, C]
  };
  static constexpr auto fields =
      std::tuple{input{"x", &args::x}, input{"index", &args::index}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 2, 8);
    expect_type(name, "index", a.index, dtype::i32);
    expect_rank(name, "index", a.index, 1, 1);
    a.y = {a.x.type, {a.index.dim(0), a.x.columns()}};
  }
};

/// dx = zero, then dx[index[i]] += dy[i] in the order of i.
struct gather_rows_backward {
  static constexpr auto name = "gather_rows_backward";
  struct args {
    tensor dy;     // [B, C]
    tensor index;  // [B] i32
    tensor like;   // [..., C]; only its shape is read
    tensor dx;     // like's shape
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy}, input{"index", &args::index},
                                            input{"like", &args::like}, output{"dx", &args::dx}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_type(name, "index", a.index, dtype::i32);
    expect_rank(name, "index", a.index, 1, 1);
    expect_rank(name, "like", a.like, 2, 8);
    expect_shape(name, "dy", a.dy, {a.index.size(), a.like.columns()});
    a.dx = {a.dy.type, a.like.dims};
  }
};

/// y[b] = the mean of x[b, begin … N-1]: average pooling, without the class token when begin is 1.
struct mean_tokens {
  static constexpr auto name = "mean_tokens";
  struct args {
    tensor x;  // [B, N, C]
    tensor y;  // [B, C]
    int64_t begin = 0;
  };
  static constexpr auto fields =
      std::tuple{input{"x", &args::x}, output{"y", &args::y}, attribute{"begin", &args::begin}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 3, 3);
    expect(0 <= a.begin && a.begin < a.x.dim(1), name, "begin must be the index of a token");
    a.y = {a.x.type, {a.x.dim(0), a.x.dim(2)}};
  }
};

/// dx[b, n] = dy[b] / (N - begin) for n >= begin, else 0.
struct mean_tokens_backward {
  static constexpr auto name = "mean_tokens_backward";
  struct args {
    tensor dy;    // [B, C]
    tensor like;  // [B, N, C]; only its shape is read
    tensor dx;    // [B, N, C]
    int64_t begin = 0;
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy}, input{"like", &args::like},
                                            output{"dx", &args::dx}, attribute{"begin", &args::begin}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_rank(name, "like", a.like, 3, 3);
    expect(0 <= a.begin && a.begin < a.like.dim(1), name, "begin must be the index of a token");
    expect_shape(name, "dy", a.dy, {a.like.dim(0), a.like.dim(2)});
    a.dx = {a.dy.type, a.like.dims};
  }
};

}  // namespace eva::ops
