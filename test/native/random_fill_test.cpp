// random_fill against the definition in ops/random_fill.h, and the distribution of its values.
#include "ops/random_fill.h"

#include <numbers>

#include "core/philox.h"
#include "op_test.h"

namespace eva::test {
namespace {

/// The deviate of element e of tensor i, in double.
double reference(uint32_t e, uint32_t stream, uint32_t seed, double cut) {
  for (uint32_t draw = 0;; ++draw) {
    const auto words = philox({e, stream, draw, 0}, {seed, 0x66696c6c});
    const double u = (double(words[0] >> 9) + 0.5) * 0x1p-23, v = double(words[1] >> 8) * 0x1p-24;
    const double z = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
    if (cut == 0 || std::abs(z) <= cut) return z;
  }
}

void test_values(backend& on, float cut, const std::string& isa) {
  buffer first(dtype::f32, {3, 1001}), second(dtype::bf16, {77}), constant(dtype::f32, {5}, 8);
  run<ops::random_fill>(on, {{first, second, constant}, {0.02f, 1.5f, 0}, {0, 3, -1}, cut, 42, 10});
  std::vector<double> expected, narrow;
  for (uint32_t e = 0; e < 3003; ++e) expected.push_back(double(0.02f) * reference(e, 10, 42, cut));
  for (uint32_t e = 0; e < 77; ++e) narrow.push_back(3 + 1.5 * reference(e, 11, 42, cut));
  check(relative_error(first, expected) < 2e-6, "random_fill, " + isa);
  check(relative_error(second, narrow) < 4e-3, "random_fill bf16, " + isa);
  check(constant == buffer(dtype::f32, {5}, -1), "random_fill without deviation, " + isa);
}

/// Padding is zero, and the other values are those without padding.
void test_padding(backend& on, float cut, const std::string& isa) {
  buffer plain(dtype::f32, {90, 85}), vector(dtype::f32, {21}), constant(dtype::f32, {3, 7});
  buffer padded(dtype::f32, {128, 96}, 5), longer(dtype::f32, {64}, 5), ones(dtype::f32, {4, 8}, 5);
  const ops::random_fill::args common{{}, {1, 1, 0}, {0, 2, 1}, cut, 3, 0};
  ops::random_fill::args a = common, b = common;
  a.parameters = {plain, vector, constant};
  b.parameters = {padded, longer, ones};
  b.rows = {90, 1, 3};
  b.columns = {85, 21, 7};
  run<ops::random_fill>(on, a);
  run<ops::random_fill>(on, b);
  const auto same = [&](const buffer& from, const buffer& to, int64_t rows, int64_t columns, int64_t pitch) {
    for (int64_t i = 0; i < to.size(); ++i) {
      const int64_t row = i / pitch, column = i % pitch;
      const bool inside = row < rows && column < columns;
      if (to[i] != (inside ? from[row * columns + column] : 0.0f)) return false;
    }
    return true;
  };
  check(same(plain, padded, 90, 85, 96), "a padded matrix, random_fill, " + isa);
  check(same(vector, longer, 1, 21, 64), "a padded vector, random_fill, " + isa);
  check(same(constant, ones, 3, 7, 8), "a padded constant, random_fill, " + isa);
}

void test_moments(backend& on, const std::string& isa) {
  const int64_t count = 200000;
  for (const float cut : {0.0f, 2.0f}) {
    buffer x(dtype::f32, {count});
    run<ops::random_fill>(on, {{x}, {1}, {0}, cut, 1, 0});
    double mean = 0, square = 0, largest = 0;
    for (int64_t i = 0; i < count; ++i) {
      mean += x[i] / double(count);
      square += double(x[i]) * x[i] / double(count);
      largest = std::max(largest, std::abs(double(x[i])));
    }
    // Cutting at 2 standard deviations leaves a variance of 1 - 4 φ(2) / (2 Φ(2) - 1).
    check(std::abs(mean) < 0.01, "mean of random_fill, " + isa);
    check(std::abs(square - (cut == 0 ? 1 : 0.7737)) < 0.01, "variance of random_fill, " + isa);
    check(cut == 0 ? largest > 3.5 : largest <= 2, "range of random_fill, " + isa);
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    for (const float cut : {0.0f, 2.0f}) {
      test_values(on, cut, isa);
      test_padding(on, cut, isa);
    }
    test_moments(on, isa);
  });
}
