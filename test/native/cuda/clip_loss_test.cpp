// The contrastive loss and its gradients: batches around the tiles' sizes, values that are bf16 and values
// that are not, outputs that nobody reads.
#include "ops/clip_loss.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

/// Rows of unit length, of type f32; rounded to bf16 values when `coarse`.
buffer unit_rows(const shape& dims, unsigned seed, bool coarse) {
  std::mt19937 random(seed);
  buffer rows(dtype::f32, dims, random, 1);
  for (int64_t i = 0; i < dims[0]; ++i) {
    double square = 0;
    for (int64_t k = 0; k < dims[1]; ++k)
      square += double(rows[i * dims[1] + k]) * double(rows[i * dims[1] + k]);
    for (int64_t k = 0; k < dims[1]; ++k) {
      const auto unit = float(double(rows[i * dims[1] + k]) / std::sqrt(square));
      rows.set(i * dims[1] + k, coarse ? float(bf16(unit)) : unit);
    }
  }
  return rows;
}

struct test_case {
  int64_t batch, embedding;
  float logit_scale;
  bool coarse;
};

void test_loss(const test_case& x) {
  const std::string what = "clip_loss of " + std::to_string(x.batch) + " × " + std::to_string(x.embedding) +
                           (x.coarse ? " bf16 values" : "");
  buffer image = unit_rows({x.batch, x.embedding}, 1, x.coarse);
  buffer text = unit_rows({x.batch, x.embedding}, 2, x.coarse);
  // On the way to a trained model: some of the answers are right, and gradients do not vanish yet, as they do
  // between probabilities near one.
  for (int64_t i = 0; i < x.batch * x.embedding; i += 4) text.set(i, image[i]);
  buffer logit_scale(dtype::f32, {}, x.logit_scale), dloss(dtype::f32, {}, 1.5f);
  const ops::clip_loss::args forward{.image = image,
                                     .text = text,
                                     .logit_scale = logit_scale,
                                     .loss = {},
                                     .row_log_sum = {},
                                     .column_log_sum = {},
                                     .image_accuracy = {},
                                     .text_accuracy = {},
                                     .tile = {},
                                     .column_state = {}};
  agree<ops::clip_loss>(forward, what);
  if (x.batch == 17)
    agree<ops::clip_loss>(forward, what + ", loss alone",
                          {.unread = {"row_log_sum", "column_log_sum", "image_accuracy", "text_accuracy"}});

  owned_args<ops::clip_loss> sums(forward, {});
  run<ops::clip_loss>(reference_backend(), sums.all);
  const ops::clip_loss_backward::args backward{.dloss = dloss,
                                               .image = image,
                                               .text = text,
                                               .logit_scale = logit_scale,
                                               .row_log_sum = sums.all.row_log_sum,
                                               .column_log_sum = sums.all.column_log_sum,
                                               .dimage = {},
                                               .dtext = {},
                                               .dlogit_scale = {},
                                               .tile = {}};
  // A probability is off by as much, relative to itself, as its score, which the scale multiplies.
  const double within = 1e-6 * std::exp(double(x.logit_scale));
  agree<ops::clip_loss_backward>(backward, what + ", backward", {.f32 = std::max(1e-5, within)});
  if (x.batch != 17) return;
  agree<ops::clip_loss_backward>(backward, what + ", dtext alone", {.unread = {"dimage", "dlogit_scale"}});
  agree<ops::clip_loss_backward>(backward, what + ", scale alone", {.unread = {"dimage", "dtext"}});
}

void test_nan() {
  buffer image = unit_rows({5, 9}, 1, false), logit_scale(dtype::f32, {}, 1), loss(dtype::f32, {});
  image.set(13, NAN);
  ops::clip_loss::args a{.image = image,
                         .text = image,
                         .logit_scale = logit_scale,
                         .loss = loss,
                         .row_log_sum = {},
                         .column_log_sum = {},
                         .image_accuracy = {},
                         .text_accuracy = {},
                         .tile = {},
                         .column_state = {}};
  cuda::run<ops::clip_loss>(a, device_context());
  cuda::device::synchronize(device_context().stream);
  check(std::isnan(loss[0]), "NaN shows in the loss");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  for (const test_case& x : {test_case{2, 24, 0, false},
                             {17, 24, 2.66f, true},
                             {33, 64, 2.66f, false},
                             {130, 24, 2.66f, false},
                             {70, 130, 2.66f, true},
                             {0, 8, 1, false}})
    test_loss(x);
  // Few multiprocessors take the widest part of a gradient, and more than one tile of a strip.
  device_context().properties.multiprocessors = 1;
  test_loss({65, 264, 2.66f, false});
  test_loss({130, 24, 2.66f, true});
  test_nan();
  return status();
}
