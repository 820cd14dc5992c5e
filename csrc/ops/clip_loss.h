#pragma once

#include "ops/op.h"

namespace eva::ops {

/// Rows of logits per tile: memory is rows × B, never B × B.
inline constexpr int64_t clip_loss_tile_rows = 256;

inline shape clip_loss_tile(int64_t batch) { return {std::min(batch, clip_loss_tile_rows), batch}; }

/// Rows of dimage accumulated in f32 at a time, before they are rounded to bf16.
inline constexpr int64_t clip_loss_sum_rows = 2048;

/// The symmetric contrastive loss (Radford et al. 2021, figure 3): with s = e^logit_scale and
/// S = s image textᵀ, loss = ½ (mean cross-entropy of the rows + of the columns), with the diagonal as
/// targets. Features are f32 or bf16; bf16 products accumulate in f32, and the logits are always f32. They
/// are computed tile by tile; the full matrix is never stored.
///
/// The log odds of a wrong match, log Σ_{j≠i} e^S_ij - S_ii, keep the precision that the log-sum-exp loses
/// where a match is nearly certain: the cross-entropy is softplus(log odds), and 1 - P on the diagonal is
/// sigmoid(log odds).
struct clip_loss {
  static constexpr auto name = "clip_loss";
  struct args {
    tensor image;            // [B, E], unit length
    tensor text;             // [B, E], image's type, unit length
    tensor logit_scale;      // [] f32, log of the scale
    tensor loss;             // [] f32
    tensor row_log_sum;      // [B] f32: log-sum-exp over texts, per image
    tensor column_log_sum;   // [B] f32: log-sum-exp over images, per text
    tensor row_log_odds;     // [B] f32: log odds of a wrong text, per image
    tensor column_log_odds;  // [B] f32: log odds of a wrong image, per text
    tensor image_accuracy;   // [] f32: in-batch accuracy, image to text
    tensor text_accuracy;    // [] f32: in-batch accuracy, text to image
    tensor tile;             // [min(B, 256), B] f32
    tensor column_state;     // [3, B] f32: running maximum and sum per column, and logit of its positive pair
  };
  static constexpr auto fields = std::tuple{input{"image", &args::image},
                                            input{"text", &args::text},
                                            input{"logit_scale", &args::logit_scale},
                                            output{"loss", &args::loss},
                                            output{"row_log_sum", &args::row_log_sum},
                                            output{"column_log_sum", &args::column_log_sum},
                                            output{"row_log_odds", &args::row_log_odds},
                                            output{"column_log_odds", &args::column_log_odds},
                                            output{"image_accuracy", &args::image_accuracy},
                                            output{"text_accuracy", &args::text_accuracy},
                                            scratch{"tile", &args::tile},
                                            scratch{"column_state", &args::column_state}};
  static void infer(args& a) {
    expect_float(name, "image", a.image);
    expect_rank(name, "image", a.image, 2, 2);
    expect_type(name, "text", a.text, a.image.type);
    expect_shape(name, "text", a.text, a.image.dims);
    expect_type(name, "logit_scale", a.logit_scale, dtype::f32);
    expect_size(name, "logit_scale", a.logit_scale, 1);
    const int64_t batch = a.image.dim(0);
    a.loss = a.image_accuracy = a.text_accuracy = {dtype::f32, {}};
    a.row_log_sum = a.column_log_sum = a.row_log_odds = a.column_log_odds = {dtype::f32, {batch}};
    a.tile = {dtype::f32, clip_loss_tile(batch)};
    a.column_state = {dtype::f32, {3, batch}};
  }
  static double flops(const args& a) { return 2.0 * double(a.image.size()) * double(a.image.dim(0)); }
};

/// The gradients of clip_loss: with P and Q the row and column softmax, G = (P + Q - 2 I) / (2 B) dloss,
/// dimage = s G text, dtext = s Gᵀ image, dlogit_scale = sum G ∘ S. The diagonal of G comes from the log odds
/// and is added separately in f32, because GEMM operands are rounded to the features' type.
struct clip_loss_backward {
  static constexpr auto name = "clip_loss_backward";
  struct args {
    tensor dloss;            // [] f32
    tensor image;            // [B, E]
    tensor text;             // [B, E]
    tensor logit_scale;      // [] f32
    tensor row_log_sum;      // [B] f32
    tensor column_log_sum;   // [B] f32
    tensor row_log_odds;     // [B] f32
    tensor column_log_odds;  // [B] f32
    tensor dimage;           // [B, E], image's type
    tensor dtext;            // [B, E], image's type
    tensor dlogit_scale;     // [] f32
    tensor tile;             // [min(B, 256), B] f32
    tensor image_sums;       // [min(B, 2048), E] f32, if dimage is bf16
    tensor text_sums;        // [B, E] f32, if dtext is bf16
  };
  static constexpr auto fields = std::tuple{input{"dloss", &args::dloss},
                                            input{"image", &args::image},
                                            input{"text", &args::text},
                                            input{"logit_scale", &args::logit_scale},
                                            input{"row_log_sum", &args::row_log_sum},
                                            input{"column_log_sum", &args::column_log_sum},
                                            input{"row_log_odds", &args::row_log_odds},
                                            input{"column_log_odds", &args::column_log_odds},
                                            output{"dimage", &args::dimage},
                                            output{"dtext", &args::dtext},
                                            output{"dlogit_scale", &args::dlogit_scale},
                                            scratch{"tile", &args::tile},
                                            scratch{"image_sums", &args::image_sums},
                                            scratch{"text_sums", &args::text_sums}};
  static void infer(args& a) {
    for (auto [field, t] : {std::pair{"dloss", &a.dloss}, std::pair{"logit_scale", &a.logit_scale}}) {
      expect_type(name, field, *t, dtype::f32);
      expect_size(name, field, *t, 1);
    }
    expect_float(name, "image", a.image);
    expect_rank(name, "image", a.image, 2, 2);
    for (auto [field, t] :
         {std::pair{"row_log_sum", &a.row_log_sum}, std::pair{"column_log_sum", &a.column_log_sum},
          std::pair{"row_log_odds", &a.row_log_odds}, std::pair{"column_log_odds", &a.column_log_odds}})
      expect(name, field, *t, dtype::f32, {a.image.dim(0)});
    expect_type(name, "text", a.text, a.image.type);
    expect_shape(name, "text", a.text, a.image.dims);
    const int64_t batch = a.image.dim(0), embedding = a.image.dim(1);
    const bool rounds = a.image.type == dtype::bf16;
    a.dimage = a.dtext = {a.image.type, a.image.dims};
    a.dlogit_scale = {dtype::f32, a.logit_scale.dims};
    a.tile = {dtype::f32, clip_loss_tile(batch)};
    a.image_sums = {dtype::f32, {rounds ? std::min(batch, clip_loss_sum_rows) : 0, embedding}};
    a.text_sums = {dtype::f32, {rounds ? batch : 0, embedding}};
  }
  static double flops(const args& a) { return 6.0 * double(a.image.size()) * double(a.image.dim(0)); }
};

}  // namespace eva::ops
