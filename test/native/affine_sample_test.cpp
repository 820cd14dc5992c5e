// affine_sample against the formula in ops/affine_sample.h in double precision, pixel by pixel.
#include "ops/affine_sample.h"

#include <array>
#include <cstdlib>

#include "op_test.h"

namespace eva::test {
namespace {

struct problem {
  int64_t batch, height, width, size;
  std::vector<uint8_t> images;
  std::vector<float> transform, background, color;
};

problem random_problem(int64_t batch, int64_t height, int64_t width, int64_t size, float jitter) {
  problem p{batch, height, width, size, {}, {}, {}, {}};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < batch * height * width * 4; ++i) p.images.push_back(uint8_t(random()));
  for (int64_t b = 0; b < batch; ++b) {
    for (float base : {1, 0, 0, 0, 1, 0}) p.transform.push_back(base + jitter * normal(random));
    for (int i = 0; i < 3; ++i) p.background.push_back(std::abs(0.3f * normal(random)));
    for (float base : {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}) p.color.push_back(base + jitter * normal(random));
  }
  return p;
}

/// The premultiplied pixel (x, y) of image b, zero outside.
std::array<double, 4> pixel(const problem& p, int64_t b, int64_t x, int64_t y) {
  if (x < 0 || y < 0 || x >= p.width || y >= p.height) return {};
  const uint8_t* bytes = &p.images[size_t(((b * p.height + y) * p.width + x) * 4)];
  const double alpha = bytes[3] / 255.0;
  return {bytes[0] / 255.0 * alpha, bytes[1] / 255.0 * alpha, bytes[2] / 255.0 * alpha, alpha};
}

/// The three channels of an output pixel, in 0 … 255.
std::array<double, 3> reference(const problem& p, int64_t b, int64_t column, int64_t row) {
  const double u = double(2 * column + 1) / double(p.size) - 1, v = double(2 * row + 1) / double(p.size) - 1;
  const float* t = &p.transform[size_t(b * 6)];
  const double x = ((t[0] * u + t[1] * v + t[2] + 1) * double(p.width) - 1) / 2;
  const double y = ((t[3] * u + t[4] * v + t[5] + 1) * double(p.height) - 1) / 2;
  std::array<double, 4> sum{};
  for (int64_t dy = 0; dy < 2; ++dy)
    for (int64_t dx = 0; dx < 2; ++dx) {
      const int64_t left = int64_t(std::floor(x)) + dx, top = int64_t(std::floor(y)) + dy;
      const double weight = (1 - std::abs(x - double(left))) * (1 - std::abs(y - double(top)));
      const auto tap = pixel(p, b, left, top);
      for (size_t k = 0; k < 4; ++k) sum[k] += weight * tap[k];
    }
  std::array<double, 3> out{};
  for (size_t channel = 0; channel < 3; ++channel) {
    const float* m = &p.color[size_t(b * 12) + channel * 4];
    double value = m[3] * sum[3] + p.background[size_t(b * 3) + channel] * (1 - sum[3]);
    for (size_t k = 0; k < 3; ++k) value += m[k] * sum[k];
    out[channel] = 255 * std::min(1.0, std::max(0.0, value));
  }
  return out;
}

std::vector<uint8_t> draw(backend& on, problem& p) {
  std::vector<uint8_t> y(size_t(p.batch * p.size * p.size * 3), 77);
  buffer transform({p.batch, 2, 3}, p.transform), background({p.batch, 3}, p.background);
  buffer color({p.batch, 3, 4}, p.color);
  run<ops::affine_sample>(on, {view(p.images, {p.batch, p.height, p.width, 4}), transform, background, color,
                               view(y, {p.batch, p.size, p.size, 3}), p.size});
  return y;
}

void test(backend& on, problem p, const std::string& what) {
  const std::vector<uint8_t> y = draw(on, p);
  double worst = 0;
  size_t at = 0;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t row = 0; row < p.size; ++row)
      for (int64_t column = 0; column < p.size; ++column)
        for (double expected : reference(p, b, column, row))
          worst = std::max(worst, std::abs(double(y[at++]) - expected));
  check(worst < 0.51, "affine_sample " + what + ": " + std::to_string(worst));
}

/// Positions beyond the range of integers read nothing and show the background.
void test_far(backend& on, const std::string& isa) {
  problem p = random_problem(4, 8, 8, 5, 0);
  p.transform[2] = 1e30f;
  p.transform[6 + 5] = -1e30f;
  p.transform[12] = INFINITY;
  p.transform[18] = NAN;
  const std::vector<uint8_t> y = draw(on, p);
  for (size_t i = 0; i < y.size(); ++i) {
    const float back = p.background[i / 75 * 3 + i % 3];
    check(std::abs(float(y[i]) - 255 * std::min(1.0f, back)) < 0.51f, "affine_sample far away, " + isa);
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    test(on, random_problem(2, 16, 16, 16, 0), "unchanged, " + isa);
    test(on, random_problem(5, 33, 20, 17, 0.3f), "odd sizes, " + isa);
    test(on, random_problem(4, 64, 64, 48, 0.1f), "as in training, " + isa);
    test_far(on, isa);
  });
}
