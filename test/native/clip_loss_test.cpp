// The contrastive loss and its gradients against double-precision formulas over the whole matrix of logits.
#include "ops/clip_loss.h"

#include <algorithm>

#include "op_test.h"

namespace {

using namespace eva;
using namespace eva::test;

/// Rows of unit length.
buffer unit_rows(const shape& dims, std::mt19937& random) {
  buffer rows(dtype::f32, dims, random, 1);
  for (int64_t i = 0; i < dims[0]; ++i) {
    double square = 0;
    for (int64_t k = 0; k < dims[1]; ++k) square += double(rows[i * dims[1] + k]) * rows[i * dims[1] + k];
    for (int64_t k = 0; k < dims[1]; ++k)
      rows.set(i * dims[1] + k, float(rows[i * dims[1] + k] / std::sqrt(square)));
  }
  return rows;
}

/// Everything in double precision, the logits held whole.
struct reference {
  std::vector<double> loss{0}, rows, columns, dimage, dtext, dlogit_scale{0};
  double image_accuracy = 0, text_accuracy = 0;

  reference(const buffer& image, const buffer& text, int64_t batch, int64_t embedding, double logit_scale,
            double dloss) {
    const double scale = std::exp(logit_scale);
    std::vector<double> s(size_t(batch * batch));
    auto at = [&](int64_t i, int64_t j) -> double& { return s[size_t(i * batch + j)]; };
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t j = 0; j < batch; ++j) {
        for (int64_t k = 0; k < embedding; ++k)
          at(i, j) += double(image[i * embedding + k]) * text[j * embedding + k];
        at(i, j) *= scale;
      }
    for (int64_t i = 0; i < batch; ++i) {
      double row = 0, column = 0, best_text = -1e9, best_image = -1e9;
      for (int64_t j = 0; j < batch; ++j) {
        row += std::exp(at(i, j) - 100);
        column += std::exp(at(j, i) - 100);
        best_text = std::max(best_text, at(i, j));
        best_image = std::max(best_image, at(j, i));
      }
      rows.push_back(std::log(row) + 100);
      columns.push_back(std::log(column) + 100);
      loss[0] += (rows.back() + columns.back() - 2 * at(i, i)) / (2 * double(batch));
      image_accuracy += (at(i, i) >= best_text) / double(batch);
      text_accuracy += (at(i, i) >= best_image) / double(batch);
    }
    dimage.resize(size_t(batch * embedding));
    dtext.resize(size_t(batch * embedding));
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t j = 0; j < batch; ++j) {
        const double p = std::exp(at(i, j) - rows[size_t(i)]), q = std::exp(at(i, j) - columns[size_t(j)]);
        const double g = (p + q - (i == j ? 2 : 0)) / (2 * double(batch)) * dloss;
        dlogit_scale[0] += g * at(i, j);
        for (int64_t k = 0; k < embedding; ++k) {
          dimage[size_t(i * embedding + k)] += scale * g * text[j * embedding + k];
          dtext[size_t(j * embedding + k)] += scale * g * image[i * embedding + k];
        }
      }
  }
};

void test_batch(backend& on, const std::string& where, int64_t batch, int64_t embedding, float logit_scale) {
  const std::string what =
      where + " batch " + std::to_string(batch) + ", scale e^" + std::to_string(logit_scale);
  std::mt19937 random(5);
  buffer image = unit_rows({batch, embedding}, random), text = unit_rows({batch, embedding}, random);
  // Halfway to a trained model, so that some of the answers are right.
  for (int64_t i = 0; i < batch * embedding; i += 2) text.set(i, image[i]);
  buffer scale(dtype::f32, {}, logit_scale), dloss(dtype::f32, {}, 1.5f);
  const reference expected(image, text, batch, embedding, logit_scale, 1.5);

  ops::clip_loss::args a;
  a.image = image;
  a.text = text;
  a.logit_scale = scale;
  ops::clip_loss::infer(a);
  buffer loss(dtype::f32, {}, NAN), image_accuracy = loss, text_accuracy = loss;
  buffer rows(dtype::f32, {batch}, NAN), columns = rows;
  buffer tile(dtype::f32, a.tile.dims, NAN), state(dtype::f32, a.column_state.dims, NAN);
  a.loss = loss;
  a.row_log_sum = rows;
  a.column_log_sum = columns;
  a.image_accuracy = image_accuracy;
  a.text_accuracy = text_accuracy;
  a.tile = tile;
  a.column_state = state;
  run<ops::clip_loss>(on, a);
  check(std::abs(double(loss[0]) - expected.loss[0]) < 1e-6 * (1 + expected.loss[0]), what + ": loss");
  check(relative_error(rows, expected.rows) < 1e-6, what + ": row sums");
  check(relative_error(columns, expected.columns) < 1e-6, what + ": column sums");
  check(std::abs(double(image_accuracy[0]) - expected.image_accuracy) < 1e-6, what + ": image accuracy");
  check(std::abs(double(text_accuracy[0]) - expected.text_accuracy) < 1e-6, what + ": text accuracy");

  ops::clip_loss_backward::args b;
  b.dloss = dloss;
  b.image = image;
  b.text = text;
  b.logit_scale = scale;
  b.row_log_sum = rows;
  b.column_log_sum = columns;
  ops::clip_loss_backward::infer(b);
  buffer dimage(dtype::f32, {batch, embedding}, NAN), dtext = dimage, dscale(dtype::f32, {}, NAN);
  b.dimage = dimage;
  b.dtext = dtext;
  b.dlogit_scale = dscale;
  b.tile = tile;
  run<ops::clip_loss_backward>(on, b);
  // Where every answer is right the gradients vanish, and rounding is measured against that of untrained
  // ones.
  const double untrained = std::exp(double(logit_scale)) / std::sqrt(double(batch));
  check(relative_error(dimage, expected.dimage, untrained) < 1e-5, what + ": dimage");
  check(relative_error(dtext, expected.dtext, untrained) < 1e-5, what + ": dtext");
  const double largest_logit = std::exp(double(logit_scale));
  check(relative_error(dscale, expected.dlogit_scale, largest_logit) < 1e-5, what + ": dlogit_scale");

  const buffer first_dimage = dimage, first_dtext = dtext;
  run<ops::clip_loss_backward>(on, b);
  check(dimage == first_dimage && dtext == first_dtext, what + ": the same bits twice");
}

buffer normalised(const shape& dims, const std::vector<float>& values) {
  buffer rows(dims, values);
  for (int64_t i = 0; i < dims[0]; ++i) {
    float square = 0;
    for (int64_t k = 0; k < dims[1]; ++k)
      square += values[size_t(i * dims[1] + k)] * values[size_t(i * dims[1] + k)];
    for (int64_t k = 0; k < dims[1]; ++k)
      rows.set(i * dims[1] + k, rows[i * dims[1] + k] / std::sqrt(square));
  }
  return rows;
}

/// The loss only; nobody reads the rest.
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
  for (int64_t batch : {1, 2, 3, 17, 255, 256, 257, 512, 700})
    for (float logit_scale : {0.0f, 2.659260f, 4.605170f}) test_batch(on, where, batch, 24, logit_scale);
  // Computed with open_clip's ClipLoss.
  const buffer image = normalised({3, 3}, {1, 2, 3, 0, 1, -1, 2, 0, 1});
  const buffer text = normalised({3, 3}, {1, 1, 3, 1, 1, -1, 2, 1, 0});
  check(std::abs(loss_of(on, image, text, -std::log(0.07f)) - 0.0303276f) < 2e-7f, where + " golden loss");
  buffer spoiled = image;
  spoiled.set(4, NAN);
  check(std::isnan(loss_of(on, spoiled, text, 1)), where + " NaN shows in the loss");
}

}  // namespace

int main() { return on_each_instruction_set(2, test_all); }
