#pragma once

#include "ops/op.h"

namespace eva::ops {

/// The pixels of each kept patch as one row, in the column order of a convolution weight [W, 3, P, P]: the
/// patch embedding is then a linear op, and dropped patches are never read. u8 images are normalized,
/// (x / 255 - mean) / std; f32 images already are. A row ends with `padding` zeros. No gradient.
struct patch_rows {
  static constexpr auto name = "patch_rows";
  static constexpr int64_t max_padding = 1 << 16;  // of several rows, it fits an int
  struct args {
    tensor images;  // u8 [B, S, S, 3] or f32 [B, 3, S, S]
    tensor kept;    // [B, K] i32 patch indices, row-major over the grid; optional: all
    tensor y;       // [B, K, 3 P P + padding]
    int64_t patch_size = 16;
    std::vector<float> mean, std;  // [3] each, of values in 0 … 1
    dtype type = dtype::f32;
    int64_t padding = 0;
  };
  static constexpr auto fields =
      std::tuple{input{"images", &args::images}, optional_input{"kept", &args::kept},
                 output{"y", &args::y},          attribute{"patch_size", &args::patch_size},
                 attribute{"mean", &args::mean}, attribute{"std", &args::std},
                 attribute{"type", &args::type}, attribute{"padding", &args::padding}};
  static void infer(args& a) {
    expect_rank(name, "images", a.images, 4, 4);
    const bool bytes = a.images.type == dtype::u8;
    if (!bytes) expect_type(name, "images", a.images, dtype::f32);
    const int64_t size = a.images.dim(2), b = a.images.dim(0);
    expect_shape(name, "images", a.images, bytes ? shape{b, size, size, 3} : shape{b, 3, size, size});
    expect(a.patch_size > 0 && size % a.patch_size == 0, name,
           "the image size must be a multiple of patch_size");
    expect(a.mean.size() == 3 && a.std.size() == 3, name, "mean and std must have three entries");
    expect(is_float(a.type), name, "type must be f32 or bf16");
    expect(a.padding >= 0 && a.padding <= max_padding, name,
           "padding must be from 0 to " + std::to_string(max_padding));
    int64_t k = (size / a.patch_size) * (size / a.patch_size);
    if (a.kept.present()) {
      expect_type(name, "kept", a.kept, dtype::i32);
      expect_rank(name, "kept", a.kept, 2, 2);
      expect_shape(name, "kept", a.kept, {b, a.kept.dim(1)});
      k = a.kept.dim(1);
    }
    a.y = {a.type, {b, k, 3 * a.patch_size * a.patch_size + a.padding}};
  }
};

/// y = x Wᵀ + b, accumulated in double precision. The first GEMM of a tower has its longest sums in f32 and
/// takes about 1 % of its work, and every later layer amplifies its rounding errors.
struct patch_projection {
  static constexpr auto name = "patch_projection";
  struct args {
    tensor x;       // [..., K] f32
    tensor weight;  // [N, K] f32
    tensor bias;    // [N] f32, optional
    tensor y;       // [..., N] f32
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, input{"weight", &args::weight},
                                            optional_input{"bias", &args::bias}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_type(name, "x", a.x, dtype::f32);
    expect_rank(name, "x", a.x, 1, 8);
    expect_type(name, "weight", a.weight, dtype::f32);
    expect_rank(name, "weight", a.weight, 2, 2);
    const int64_t n = a.weight.dim(0);
    expect_shape(name, "weight", a.weight, {n, a.x.columns()});
    if (a.bias.present()) {
      expect_type(name, "bias", a.bias, dtype::f32);
      expect_shape(name, "bias", a.bias, {n});
    }
    a.y = {dtype::f32, append(leading(a.x.dims), n)};
  }
  static double flops(const args& a) { return 2.0 * double(a.y.size()) * double(a.x.columns()); }
};

/// y[b, 0] = class_token + positions[0]; y[b, 1 + i] = x[b, i] + positions[1 + kept[b, i]].
struct add_positions {
  static constexpr auto name = "add_positions";
  struct args {
    tensor x;            // [B, K, C]
    tensor class_token;  // C elements, f32
    tensor positions;    // [..., 1 + N, C] f32
    tensor kept;         // [B, K] i32, optional: all N
    tensor y;            // [B, 1 + K, C]
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x}, input{"class_token", &args::class_token},
                                            input{"positions", &args::positions},
                                            optional_input{"kept", &args::kept}, output{"y", &args::y}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 3, 3);
    expect_type(name, "class_token", a.class_token, dtype::f32);
    expect_size(name, "class_token", a.class_token, a.x.columns());
    expect_type(name, "positions", a.positions, dtype::f32);
    expect(a.positions.columns() == a.x.columns() && a.positions.rows() > 0, name,
           "positions must have C columns");
    if (a.kept.present())
      expect(name, "kept", a.kept, dtype::i32, {a.x.dim(0), a.x.dim(1)});
    else
      expect_size(name, "positions", a.positions, (1 + a.x.dim(1)) * a.x.columns());
    a.y = {a.x.type, {a.x.dim(0), 1 + a.x.dim(1), a.x.dim(2)}};
  }
};

/// The gradients of add_positions.
struct add_positions_backward {
  static constexpr auto name = "add_positions_backward";
  struct args {
    tensor dy;            // [B, 1 + K, C]
    tensor class_token;   // only its shape is read
    tensor positions;     // only its shape is read
    tensor kept;          // [B, K] i32, optional
    tensor dx;            // [B, K, C]
    tensor dclass_token;  // class_token's shape, f32
    tensor dpositions;    // positions' shape, f32
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy},
                                            input{"class_token", &args::class_token},
                                            input{"positions", &args::positions},
                                            optional_input{"kept", &args::kept},
                                            output{"dx", &args::dx},
                                            output{"dclass_token", &args::dclass_token},
                                            output{"dpositions", &args::dpositions}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_rank(name, "dy", a.dy, 3, 3);
    expect(a.dy.dim(1) > 0, name, "dy must have a class token");
    expect_size(name, "class_token", a.class_token, a.dy.columns());
    expect(a.positions.columns() == a.dy.columns() && a.positions.rows() > 0, name,
           "positions must have C columns");
    if (a.kept.present())
      expect(name, "kept", a.kept, dtype::i32, {a.dy.dim(0), a.dy.dim(1) - 1});
    else
      expect_size(name, "positions", a.positions, a.dy.dim(1) * a.dy.columns());
    a.dx = {a.dy.type, {a.dy.dim(0), a.dy.dim(1) - 1, a.dy.dim(2)}};
    a.dclass_token = {dtype::f32, a.class_token.dims};
    a.dpositions = {dtype::f32, a.positions.dims};
  }
};

}  // namespace eva::ops
