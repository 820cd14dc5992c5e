// The contrastive loss and its gradients against double-precision formulas over the full matrix of logits.
#include "ops/clip_loss.h"

#include <algorithm>

#include "features.h"

namespace {

using namespace eva;
using namespace eva::test;

/// The reference in double precision with the full matrix of logits. Where a match is nearly certain, 1 - P
/// is a sum of the other probabilities, which avoids cancellation.
struct reference {
  std::vector<double> loss{0}, rows, columns, row_odds, column_odds, dimage, dtext, dlogit_scale{0};
  double image_accuracy = 0, text_accuracy = 0;
  double scale_terms = 0;  // the magnitude of the terms of dlogit_scale

  reference(const buffer& image, const buffer& text, int64_t batch, int64_t embedding, double logit_scale,
            double dloss)
      : batch_(batch), scores_(size_t(batch * batch)) {
    const double scale = std::exp(logit_scale);
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t j = 0; j < batch; ++j) {
        double product = 0;
        for (int64_t k = 0; k < embedding; ++k)
          product += double(image[i * embedding + k]) * double(text[j * embedding + k]);
        scores_[size_t(i * batch + j)] = scale * product;
      }
    for (int64_t i = 0; i < batch; ++i) answer(i);
    dimage.resize(size_t(batch * embedding));
    dtext.resize(size_t(batch * embedding));
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t j = 0; j < batch; ++j) {
        const double g = gradient(i, j) * dloss;
        for (int64_t k = 0; k < embedding; ++k) {
          dimage[size_t(i * embedding + k)] += scale * g * double(text[j * embedding + k]);
          dtext[size_t(j * embedding + k)] += scale * g * double(image[i * embedding + k]);
        }
      }
    dlogit_scale[0] *= dloss;
  }

 private:
  double at(int64_t i, int64_t j) const { return scores_[size_t(i * batch_ + j)]; }

  /// Of image i and of text i.
  void answer(int64_t i) {
    double row = 0, column = 0, best_text = -1e9, best_image = -1e9;
    for (int64_t j = 0; j < batch_; ++j) {
      if (j != i) row += std::exp(at(i, j) - at(i, i));
      if (j != i) column += std::exp(at(j, i) - at(i, i));
      best_text = std::max(best_text, at(i, j));
      best_image = std::max(best_image, at(j, i));
    }
    row_odds.push_back(std::log(row));
    column_odds.push_back(std::log(column));
    rows.push_back(at(i, i) + std::log1p(row));
    columns.push_back(at(i, i) + std::log1p(column));
    loss[0] += (std::log1p(row) + std::log1p(column)) / (2 * double(batch_));
    image_accuracy += (at(i, i) >= best_text) / double(batch_);
    text_accuracy += (at(i, i) >= best_image) / double(batch_);
  }

  /// The derivative of the loss by score i, j.
  double gradient(int64_t i, int64_t j) {
    const double divisor = 2 * double(batch_);
    if (i == j) {
      const double row = std::exp(row_odds[size_t(i)]), column = std::exp(column_odds[size_t(i)]);
      scale_terms +=
          (std::log1p(row) * row / (1 + row) + std::log1p(column) * column / (1 + column)) / divisor;
      return -(row / (1 + row) + column / (1 + column)) / divisor;
    }
    const double p = std::exp(at(i, j) - rows[size_t(i)]), q = std::exp(at(i, j) - columns[size_t(j)]);
    dlogit_scale[0] += (p * (at(i, j) - at(i, i)) + q * (at(i, j) - at(j, j))) / divisor;
    scale_terms -= (p * std::log(p) + q * std::log(q)) / divisor;
    return (p + q) / divisor;
  }

  int64_t batch_;
  std::vector<double> scores_;  // [batch, batch]
};

struct test_case {
  int64_t batch, embedding;
  float scale;
  dtype type;
  likeness alike;
};

/// The outputs of the forward op that the backward op reads.
struct answers {
  buffer rows, columns, row_odds, column_odds;
};

/// Errors of sums over logits are relative to the scale, that of the loss to the loss itself.
answers test_forward(backend& on, const std::string& what, const test_case& x, feature_pairs& features,
                     buffer& logit_scale, const reference& expected) {
  ops::clip_loss::args a;
  a.image = features.image;
  a.text = features.text;
  a.logit_scale = logit_scale;
  ops::clip_loss::infer(a);
  buffer loss(dtype::f32, {}, NAN), image_accuracy = loss, text_accuracy = loss;
  const buffer unset(dtype::f32, {x.batch}, NAN);
  answers found{unset, unset, unset, unset};
  buffer tile(dtype::f32, a.tile.dims, NAN), state(dtype::f32, a.column_state.dims, NAN);
  a.loss = loss;
  a.row_log_sum = found.rows;
  a.column_log_sum = found.columns;
  a.row_log_odds = found.row_odds;
  a.column_log_odds = found.column_odds;
  a.image_accuracy = image_accuracy;
  a.text_accuracy = text_accuracy;
  a.tile = tile;
  a.column_state = state;
  run<ops::clip_loss>(on, a);
  const double within = 1e-6 * (1 + double(x.scale));
  check(std::abs(double(loss[0]) - expected.loss[0]) <= within * expected.loss[0], what + ": loss");
  const double logits = double(x.scale) * std::sqrt(double(x.batch));
  check(relative_error(found.rows, expected.rows, logits) < 1e-6, what + ": row sums");
  check(relative_error(found.columns, expected.columns, logits) < 1e-6, what + ": column sums");
  if (x.batch == 1) {
    check(found.row_odds[0] == -INFINITY && found.column_odds[0] == -INFINITY, what + ": no negative pairs");
  } else {
    check(relative_error(found.row_odds, expected.row_odds, logits) < 1e-6, what + ": row odds");
    check(relative_error(found.column_odds, expected.column_odds, logits) < 1e-6, what + ": column odds");
  }
  check(std::abs(double(image_accuracy[0]) - expected.image_accuracy) < 1e-6, what + ": image accuracy");
  check(std::abs(double(text_accuracy[0]) - expected.text_accuracy) < 1e-6, what + ": text accuracy");
  return found;
}

/// Errors of gradients are relative to their norm, however small; that of dlogit_scale is relative to the
/// magnitude of its terms.
void test_backward(backend& on, const std::string& what, const test_case& x, feature_pairs& features,
                   buffer& logit_scale, answers& found, const reference& expected, float dloss_value) {
  ops::clip_loss_backward::args b;
  buffer dloss(dtype::f32, {}, dloss_value);
  b.dloss = dloss;
  b.image = features.image;
  b.text = features.text;
  b.logit_scale = logit_scale;
  b.row_log_sum = found.rows;
  b.column_log_sum = found.columns;
  b.row_log_odds = found.row_odds;
  b.column_log_odds = found.column_odds;
  ops::clip_loss_backward::infer(b);
  buffer dimage(x.type, {x.batch, x.embedding}, NAN), dtext = dimage, dscale(dtype::f32, {}, NAN);
  buffer tile(dtype::f32, b.tile.dims, NAN), image_sums(dtype::f32, b.image_sums.dims, NAN),
      text_sums(dtype::f32, b.text_sums.dims, NAN);
  b.dimage = dimage;
  b.dtext = dtext;
  b.dlogit_scale = dscale;
  b.tile = tile;
  b.image_sums = image_sums;
  b.text_sums = text_sums;
  run<ops::clip_loss_backward>(on, b);
  const double of_scores = std::max(1e-5, 1e-6 * double(x.scale));
  const double within = of_scores + (x.type == dtype::bf16 ? tolerance(x.type) : 0);
  const double image_error = relative_error(dimage, expected.dimage);
  const double text_error = relative_error(dtext, expected.dtext);
  check(image_error < within, what + ": dimage is " + std::to_string(image_error) + " off");
  check(text_error < within, what + ": dtext is " + std::to_string(text_error) + " off");
  const double terms = double(dloss_value) * expected.scale_terms;
  check(std::abs(double(dscale[0]) - expected.dlogit_scale[0]) <= of_scores * terms, what + ": dlogit_scale");

  const buffer first_dimage = dimage, first_dtext = dtext;
  run<ops::clip_loss_backward>(on, b);
  check(dimage == first_dimage && dtext == first_dtext, what + ": the same bits twice");
}

void test_case_on(backend& on, const std::string& where, const test_case& x) {
  const std::string what = where + " " + std::string(to_string(x.type)) + " batch " +
                           std::to_string(x.batch) + ", scale " + std::to_string(x.scale) + ", likeness " +
                           std::to_string(int(x.alike));
  feature_pairs features = make_pairs(x.type, {x.batch, x.embedding}, x.alike, 5);
  buffer logit_scale(dtype::f32, {}, std::log(x.scale));
  constexpr float dloss = 1.5f;
  const reference expected(features.image, features.text, x.batch, x.embedding, double(logit_scale[0]),
                           dloss);
  answers found = test_forward(on, what, x, features, logit_scale, expected);
  test_backward(on, what, x, features, logit_scale, found, expected, dloss);
}

/// Only the loss; all other outputs are unread.
float loss_of(backend& on, buffer image, buffer text, float logit_scale) {
  ops::clip_loss::args a;
  buffer scale(dtype::f32, {}, logit_scale);
  a.image = image;
  a.text = text;
  a.logit_scale = scale;
  ops::clip_loss::infer(a);
  buffer loss(dtype::f32, {}), tile(dtype::f32, a.tile.dims), state(dtype::f32, a.column_state.dims);
  a.loss = loss;
  a.tile = tile;
  a.column_state = state;
  run<ops::clip_loss>(on, a);
  return loss[0];
}

void test_all(backend& on, const std::string& where) {
  for (dtype type : {dtype::f32, dtype::bf16})
    for (float scale : {1.0f, 14.3f, 100.0f}) {
      for (int64_t batch : {1, 2, 3, 17, 255, 256, 257, 513})
        test_case_on(on, where, {batch, 24, scale, type, likeness::partial});
      for (likeness alike : {likeness::chance, likeness::pairs, likeness::collapsed})
        for (int64_t batch : {1, 77, 300}) test_case_on(on, where, {batch, 33, scale, type, alike});
    }
  // Computed with open_clip's ClipLoss.
  const buffer image = normalized(dtype::f32, {3, 3}, buffer({3, 3}, {1, 2, 3, 0, 1, -1, 2, 0, 1}));
  const buffer text = normalized(dtype::f32, {3, 3}, buffer({3, 3}, {1, 1, 3, 1, 1, -1, 2, 1, 0}));
  check(std::abs(loss_of(on, image, text, -std::log(0.07f)) - 0.0303276f) < 2e-7f, where + " golden loss");
  buffer spoiled = image;
  spoiled.set(4, NAN);
  check(std::isnan(loss_of(on, spoiled, text, 1)), where + " NaN propagates to the loss");
}

}  // namespace

int main() { return on_each_instruction_set(2, test_all); }
