// Augmentation: the same colors and positions as on the CPU. A byte may differ by one if its value is close
// to the middle of two.
#include "ops/affine_sample.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

void test_size(int64_t height, int64_t width, int64_t size) {
  constexpr int64_t batch = 3;
  std::mt19937 random(1);
  std::vector<uint8_t> images(size_t(batch * height * width * 4));
  for (uint8_t& byte : images) byte = uint8_t(random());
  // Rotated and scaled, far outside, and NaN.
  buffer transform({batch, 2, 3}, {0.9f, -0.3f, 0.1f, 0.3f, 0.9f, -0.2f, 40, 0, 1e30f, 0, 1.2f, 0,  //
                                   NAN, 0, 0, 0, 1, 0});
  buffer background(dtype::f32, {batch, 3}, random, 0.3f), color(dtype::f32, {batch, 3, 4}, random, 0.5f);
  ops::affine_sample::args a{.images = view(images, {batch, height, width, 4}),
                             .transform = transform,
                             .background = background,
                             .color = color,
                             .y = {},
                             .size = size};
  owned_args<ops::affine_sample> expected(a, {}), actual(a, {}), again(a, {});
  run<ops::affine_sample>(reference_backend(), expected.all);
  const std::string what = "affine_sample to " + std::to_string(size);
  run_twice<ops::affine_sample>(actual, again, what);
  int64_t off_by_one = 0, off_by_more = 0;
  for (int64_t i = 0; i < actual.all.y.size(); ++i) {
    const int difference =
        std::abs(int(actual.all.y.as<uint8_t>()[i]) - int(expected.all.y.as<uint8_t>()[i]));
    off_by_one += difference == 1;
    off_by_more += difference > 1;
  }
  check(off_by_more == 0, what + ": " + std::to_string(off_by_more) + " bytes differ");
  check(off_by_one <= 1 + actual.all.y.size() / 500,
        what + ": " + std::to_string(off_by_one) + " off by one");
}

}  // namespace
}  // namespace eva::test

int main() {
  eva::test::test_size(9, 13, 11);
  eva::test::test_size(32, 32, 24);
  eva::test::test_size(1, 1, 3);
  return eva::test::status();
}
