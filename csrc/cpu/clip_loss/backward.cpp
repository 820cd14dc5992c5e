#include <array>

#include "cpu/clip_loss/clip_loss.h"
#include "cpu/clip_loss/logits_tile.h"
#include "cpu/element_type.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

using arguments = ops::clip_loss_backward::args;

/// Below every logit: e^lowest is zero, and so is lowest · e^lowest.
constexpr float lowest = -1e30f;

/// Layout of s G, which replaces the logits in place: bf16 uses the first half of each row's memory.
matrix_layout weights_layout(dtype type, int64_t rows, int64_t batch) {
  return column_slice(type, rows, batch, batch * int64_t(sizeof(float)) / size_of(type));
}

/// Replaces row i of the tile by s G = s factor (P + Q), zero on the diagonal, and returns the row's sum of
/// P log P + Q log Q.
template <class T>
double logit_gradients(const logits_tile& tile, int64_t i, float row_log_sum, const float* column_log_sum,
                       float factor) {
  tile.positive(i) = lowest;
  const float* logits = tile.row(i);
  T* weights = reinterpret_cast<T*>(tile.row(i));
  const float scaled_factor = factor * tile.scale;
  return double(sum_over(tile.batch, [&](int64_t j, auto width) {
    const vec s = load(logits + j, width) * tile.scale;
    const vec log_p = s - row_log_sum, log_q = s - load(column_log_sum + j, width);
    const vec p = exp(log_p), q = exp(log_q);
    store(weights + j, (p + q) * scaled_factor, width);
    return p * log_p + q * log_q;
  }));
}

/// P + Q - 2 of positive pair i: the diagonal of G without its factor.
double diagonal(const arguments& a, int64_t i) {
  return -(sigmoid(double(a.row_log_odds.as<float>()[i])) +
           sigmoid(double(a.column_log_odds.as<float>()[i])));
}

/// Adds the diagonal of G: `rows` rows of a gradient from `begin` on = sums + factor · diagonal · the
/// features `other` of the other side.
template <class T>
void add_positive_pairs(const arguments& a, const float* sums, const tensor& other, float factor,
                        int64_t begin, int64_t rows, const tensor& gradient, const context& c) {
  const int64_t embedding = other.dim(1);
  parallel_for(c, rows, 16, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const auto weight = float(factor * diagonal(a, begin + i));
      const T* pair = other.as<T>() + (begin + i) * embedding;
      T* row = gradient.as<T>() + (begin + i) * embedding;
      sweep(embedding, [&](int64_t k, auto width) {
        store(row + k, load(sums + i * embedding + k, width) + weight * load(pair + k, width), width);
      });
    }
  });
}

/// The diagonal's part of the sum of G ∘ S. Because S_ij - S_ii = log P_ij + cross-entropy_i, that sum is
/// Σ (P log P + Q log Q) off the diagonal plus, for each row and column, cross-entropy · probability of a
/// wrong match.
double positive_pairs_entropy(const arguments& a) {
  double sum = 0;
  for (int64_t i = 0; i < a.image.dim(0); ++i)
    for (const tensor& log_odds : {a.row_log_odds, a.column_log_odds}) {
      const auto odds = double(log_odds.as<float>()[i]);
      sum += softplus(odds) * sigmoid(odds);
    }
  return sum;
}

}  // namespace

plan<ops::clip_loss_backward>::tile_gemms::tile_gemms(int64_t rows, const arguments& a)
    : logits(logits_gemm(rows, a.text)),
      dimage({.a = weights_layout(a.text.type, rows, a.text.dim(0)),
              .b = dense(a.text.type, a.text.dim(0), a.text.dim(1)),
              .c = dense(dtype::f32, rows, a.text.dim(1))}),
      first_dtext({.a = transposed(weights_layout(a.text.type, rows, a.text.dim(0))),
                   .b = dense(a.text.type, rows, a.text.dim(1)),
                   .c = dense(dtype::f32, a.text.dim(0), a.text.dim(1))}),
      more_dtext({.a = transposed(weights_layout(a.text.type, rows, a.text.dim(0))),
                  .b = dense(a.text.type, rows, a.text.dim(1)),
                  .c = dense(dtype::f32, a.text.dim(0), a.text.dim(1)),
                  .accumulate = true}) {}

plan<ops::clip_loss_backward>::plan(const arguments& a, context&) : args_(a) {
  for (int64_t rows : tile_heights(a.image.dim(0))) gemms_.emplace_back(rows, a);
}

template <class T> void plan<ops::clip_loss_backward>::run_as(context& c) {
  const arguments& a = args_;
  const int64_t batch = a.image.dim(0), embedding = a.image.dim(1);
  const float factor = *a.dloss.as<float>() / (2.0f * float(batch)), scale = scale_of(a.logit_scale);
  const bool rounds = a.image.type == dtype::bf16;
  float* const text_sums = rounds ? a.text_sums.as<float>() : a.dtext.as<float>();
  double entropy = positive_pairs_entropy(a);
  std::array<double, ops::clip_loss_tile_rows> row_sums;

  for_each_tile(batch, gemms_, [&](int64_t begin, int64_t rows, tile_gemms& gemms) {
    const logits_tile tile{a.tile.as<float>(), begin, rows, batch, scale};
    const T* image = a.image.as<T>() + begin * embedding;
    gemms.logits.run(image, a.text.data, tile.data);
    parallel_for(c, rows, 8, [&](int64_t first_row, int64_t last_row) {
      for (int64_t i = first_row; i < last_row; ++i)
        row_sums[size_t(i)] = logit_gradients<T>(tile, i, a.row_log_sum.as<float>()[begin + i],
                                                 a.column_log_sum.as<float>(), factor);
    });
    for (int64_t i = 0; i < rows; ++i) entropy += row_sums[size_t(i)];
    if (a.dimage.data) {
      float* sums = rounds ? a.image_sums.as<float>() : a.dimage.as<float>() + begin * embedding;
      gemms.dimage.run(tile.data, a.text.data, sums);
      add_positive_pairs<T>(a, sums, a.text, factor * scale, begin, rows, a.dimage, c);
    }
    gemm& dtext = begin == 0 ? gemms.first_dtext : gemms.more_dtext;
    if (a.dtext.data) dtext.run(tile.data, image, text_sums);
  });
  if (a.dtext.data) add_positive_pairs<T>(a, text_sums, a.image, factor * scale, 0, batch, a.dtext, c);
  if (a.dlogit_scale.data) *a.dlogit_scale.as<float>() = float(double(factor) * entropy);
}

void plan<ops::clip_loss_backward>::run(context& c) {
  for_element_type(args_.image.type, [&]<class T>(T*) { run_as<T>(c); });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
