#pragma once

#include "ops/op.h"

namespace eva::ops {

/// Resamples each RGBA image under an affine transform with bilinear interpolation (zero padding), applies a
/// color transform and composites it over a background: augmentation of images kept in memory. The center
/// (x, y) of an output pixel, in -1 … 1, reads the input at transform · (x, y, 1), as PyTorch's affine_grid
/// and grid_sample with align_corners=False. With p the sampled color times alpha and α the sampled alpha,
/// both in 0 … 1:
///   out_c = round(255 clamp(sum_k color[c][k] p_k + color[c][3] α + background_c (1 - α), 0, 1))
/// No gradient.
struct affine_sample {
  static constexpr auto name = "affine_sample";
  struct args {
    tensor images;      // [B, H, W, 4] u8, straight (not premultiplied) alpha
    tensor transform;   // [B, 2, 3] f32
    tensor background;  // [B, 3] f32 in 0 … 1
    tensor color;       // [B, 3, 4] f32
    tensor y;           // [B, S, S, 3] u8
    int64_t size = 1;
  };
  static constexpr auto fields = std::tuple{input{"images", &args::images},
                                            input{"transform", &args::transform},
                                            input{"background", &args::background},
                                            input{"color", &args::color},
                                            output{"y", &args::y},
                                            attribute{"size", &args::size}};
  static void infer(args& a) {
    expect_type(name, "images", a.images, dtype::u8);
    expect_rank(name, "images", a.images, 4, 4);
    const int64_t b = a.images.dim(0);
    expect_shape(name, "images", a.images, {b, a.images.dim(1), a.images.dim(2), 4});
    for (auto [field, t, dims] : {std::tuple{"transform", &a.transform, shape{b, 2, 3}},
                                  std::tuple{"background", &a.background, shape{b, 3}},
                                  std::tuple{"color", &a.color, shape{b, 3, 4}}}) {
      expect_type(name, field, *t, dtype::f32);
      expect_shape(name, field, *t, dims);
    }
    expect(a.size > 0, name, "size must be positive");
    a.y = {dtype::u8, {b, a.size, a.size, 3}};
  }
};

}  // namespace eva::ops
