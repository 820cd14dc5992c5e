// The contrastive loss and its gradients, with f32 and bf16 features: batch sizes around the tile sizes,
// features that are copied and that are used in place, certain and uncertain predictions, unread outputs.
#include "ops/clip_loss.h"

#include "../features.h"
#include "backend_pair.h"
#include "cuda/clip_loss/clip_loss.h"

namespace eva::test {
namespace {

struct test_case {
  int64_t batch, embedding;
  float scale;
  likeness alike;
};

constexpr float dloss_value = 1.5f;

/// The arguments of a case, and the tolerances. The relative error of a probability is the absolute error of
/// its logit, which the scale multiplies. Errors of gradients are relative to their norm, that of the scale's
/// gradient to its terms: entropies, which are largest for uniform predictions.
struct loss_of_pairs {
  loss_of_pairs(dtype type, const test_case& x)
      : what("clip_loss of " + std::string(to_string(type)) + " " + std::to_string(x.batch) + " × " +
             std::to_string(x.embedding) + ", scale " + std::to_string(x.scale) + ", likeness " +
             std::to_string(int(x.alike))),
        features(make_pairs(type, {x.batch, x.embedding}, x.alike, 1)),
        logit_scale(dtype::f32, {}, std::log(x.scale)) {
    forward.image = backward.image = features.image;
    forward.text = backward.text = features.text;
    forward.logit_scale = backward.logit_scale = logit_scale;
    backward.dloss = dloss;
    tolerance.f32 = std::max(1e-5, 1e-6 * double(x.scale));
    tolerance.terms["dlogit_scale"] = double(dloss_value) * std::log(double(std::max<int64_t>(2, x.batch)));
  }
  loss_of_pairs(const loss_of_pairs&) = delete;

  void test_forward(const std::set<std::string>& unread) {
    tolerance.unread = unread;
    agree<ops::clip_loss>(forward, what, tolerance);
  }

  void test_backward(const std::set<std::string>& unread) {
    owned_args<ops::clip_loss> answers(forward, {});
    run<ops::clip_loss>(reference_backend(), answers.all);
    backward.row_log_sum = answers.all.row_log_sum;
    backward.column_log_sum = answers.all.column_log_sum;
    backward.row_log_odds = answers.all.row_log_odds;
    backward.column_log_odds = answers.all.column_log_odds;
    tolerance.unread = unread;
    agree<ops::clip_loss_backward>(backward, what + ", backward", tolerance);
  }

  std::string what;
  feature_pairs features;
  buffer logit_scale, dloss{dtype::f32, {}, dloss_value};
  ops::clip_loss::args forward;
  ops::clip_loss_backward::args backward;
  comparison tolerance;
};

void test_both(dtype type, const test_case& x) {
  loss_of_pairs pairs(type, x);
  pairs.test_forward({});
  pairs.test_backward({});
}

void test_unread(dtype type) {
  loss_of_pairs pairs(type, {17, 24, 14.3f, likeness::partial});
  pairs.test_forward({"row_log_sum", "column_log_sum", "row_log_odds", "column_log_odds", "image_accuracy",
                      "text_accuracy"});
  pairs.test_backward({"dimage", "dlogit_scale"});
  pairs.test_backward({"dtext", "dlogit_scale"});
  pairs.test_backward({"dimage", "dtext"});
}

void test_nan() {
  std::mt19937 random(1);
  buffer image = unit_rows(dtype::f32, {5, 9}, random), logit_scale(dtype::f32, {}, 1), loss(dtype::f32, {});
  image.set(13, NAN);
  ops::clip_loss::args a;
  a.image = image;
  a.text = image;
  a.logit_scale = logit_scale;
  a.loss = loss;
  cuda::run<ops::clip_loss>(a, device_context());
  cuda::device::synchronize(device_context().stream);
  check(std::isnan(loss[0]), "NaN propagates to the loss");
}

void test_type(dtype type) {
  constexpr test_case cases[] = {{0, 8, 1, likeness::chance},       {1, 24, 14.3f, likeness::chance},
                                 {2, 24, 1, likeness::partial},     {17, 24, 14.3f, likeness::partial},
                                 {33, 64, 100, likeness::partial},  {33, 24, 14.3f, likeness::collapsed},
                                 {129, 24, 100, likeness::pairs},   {70, 130, 14.3f, likeness::pairs},
                                 {257, 40, 1, likeness::collapsed}, {65, 264, 100, likeness::chance}};
  for (const test_case& x : cases) test_both(type, x);
  test_unread(type);
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva;
  using namespace eva::test;
  for (dtype type : {dtype::f32, dtype::bf16}) test_type(type);
  // One block, which then loops over several row tiles and column tiles.
  device_context().properties.multiprocessors = 1;
  for (dtype type : {dtype::f32, dtype::bf16}) test_both(type, {261, 24, 14.3f, likeness::partial});
  // Score gradients in two ranges of rows.
  loss_of_pairs(dtype::f32, {ops::clip_loss_sum_rows / 2 + 6, 8, 14.3f, likeness::chance}).test_backward({});
  loss_of_pairs(dtype::bf16, {ops::clip_loss_sum_rows + 6, 8, 14.3f, likeness::chance}).test_backward({});
  test_nan();
  return status();
}
