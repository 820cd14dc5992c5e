#pragma once

#include "ops/op.h"

namespace eva::ops {

/// Rows of the logits computed at a time: memory is rows × B, never B × B.
inline constexpr int64_t clip_loss_tile_rows = 256;

inline shape clip_loss_tile(int64_t batch) { return {std::min(batch, clip_loss_tile_rows), batch}; }

/// The symmetric contrastive loss (Radford et al. 2021, figure 3): with s = e^logit_scale and
/// S = s image textᵀ, loss = ½ (mean cross-entropy of the rows + of the columns), the diagonal being right.
/// The logits are computed tile by tile and never held whole.
struct clip_loss {
  static constexpr auto name = "clip_loss";
  struct args {
    tensor image;           // [B, E] f32, unit length
    tensor text;            // [B, E] f32, unit length
    tensor logit_scale;     // [] f32, the logarithm of the scale
    tensor loss;            // [] f32
    tensor row_log_sum;     // [B] f32: log sum over texts of e^S, of each image
    tensor column_log_sum;  // [B] f32: log sum over images, of each text
    tensor image_accuracy;  // [] f32: share of images whose own text scores highest
    tensor text_accuracy;   // [] f32
    tensor tile;            // [min(B, 256), B] f32
    tensor column_state;    // [3, B] f32: running maximum and sum, and score of its own pair, of each column
  };
  static constexpr auto fields = std::tuple{input{"image", &args::image},
                                            input{"text", &args::text},
                                            input{"logit_scale", &args::logit_scale},
                                            output{"loss", &args::loss},
                                            output{"row_log_sum", &args::row_log_sum},
                                            output{"column_log_sum", &args::column_log_sum},
                                            output{"image_accuracy", &args::image_accuracy},
                                            output{"text_accuracy", &args::text_accuracy},
                                            scratch{"tile", &args::tile},
                                            scratch{"column_state", &args::column_state}};
  static void infer(args& a) {
    expect_type(name, "image", a.image, dtype::f32);
    expect_rank(name, "image", a.image, 2, 2);
    expect_type(name, "text", a.text, dtype::f32);
    expect_shape(name, "text", a.text, a.image.dims);
    expect_size(name, "logit_scale", a.logit_scale, 1);
    const int64_t batch = a.image.dim(0);
    a.loss = a.image_accuracy = a.text_accuracy = {dtype::f32, {}};
    a.row_log_sum = a.column_log_sum = {dtype::f32, {batch}};
    a.tile = {dtype::f32, clip_loss_tile(batch)};
    a.column_state = {dtype::f32, {3, batch}};
  }
  static double flops(const args& a) { return 2.0 * double(a.image.size()) * double(a.image.dim(0)); }
};

/// The gradients of clip_loss: with P and Q the row and column softmax, G = (P + Q - 2 I) / (2 B) dloss,
/// dimage = s G text, dtext = s Gᵀ image, dlogit_scale = sum G ∘ S.
struct clip_loss_backward {
  static constexpr auto name = "clip_loss_backward";
  struct args {
    tensor dloss;           // [] f32
    tensor image;           // [B, E] f32
    tensor text;            // [B, E] f32
    tensor logit_scale;     // [] f32
    tensor row_log_sum;     // [B] f32
    tensor column_log_sum;  // [B] f32
    tensor dimage;          // [B, E] f32
    tensor dtext;           // [B, E] f32
    tensor dlogit_scale;    // [] f32
    tensor tile;            // [min(B, 256), B] f32
  };
  static constexpr auto fields = std::tuple{input{"dloss", &args::dloss},
                                            input{"image", &args::image},
                                            input{"text", &args::text},
                                            input{"logit_scale", &args::logit_scale},
                                            input{"row_log_sum", &args::row_log_sum},
                                            input{"column_log_sum", &args::column_log_sum},
                                            output{"dimage", &args::dimage},
                                            output{"dtext", &args::dtext},
                                            output{"dlogit_scale", &args::dlogit_scale},
                                            scratch{"tile", &args::tile}};
  static void infer(args& a) {
    expect_size(name, "dloss", a.dloss, 1);
    expect_shape(name, "text", a.text, a.image.dims);
    a.dimage = a.dtext = {dtype::f32, a.image.dims};
    a.dlogit_scale = {dtype::f32, a.logit_scale.dims};
    a.tile = {dtype::f32, clip_loss_tile(a.image.dim(0))};
  }
  static double flops(const args& a) { return 6.0 * double(a.image.size()) * double(a.image.dim(0)); }
};

}  // namespace eva::ops
