// Every elementwise op against the C library in double, and the special cases of the vector functions.
#include "ops/elementwise.h"

#include <bit>
#include <limits>

#include "op_test.h"

namespace eva::test {
namespace {

using function = std::function<double(double)>;

template <class Op> void test_unary(backend& on, const std::string& isa, float deviation, const function& f) {
  for (const dtype type : {dtype::f32, dtype::bf16})
    for (const int64_t count : {1, 17, 20001}) {
      std::mt19937 random(5);
      buffer x(type, {count}, random, deviation), y(type, {count});
      typename Op::args a{};
      a.x = x;
      a.y = y;
      run<Op>(on, a);
      double worst = 0;
      for (int64_t i = 0; i < count; ++i) {
        const double expected = f(x[i]), error = std::abs(y[i] - expected);
        // The logarithm and square root of negative numbers are NaN.
        if (std::isnan(expected) && std::isnan(y[i])) continue;
        worst = std::max(worst, error / (std::abs(expected) + 1e-1));
        if (std::isnan(error)) worst = std::numeric_limits<double>::infinity();
      }
      check(worst < tolerance(type), std::string(Op::name) + " of " + std::to_string(count) + " " +
                                         std::string(to_string(type)) + ", " + isa + ": " +
                                         std::to_string(worst));
    }
}

/// Values where exponents overflow or underflow, infinities and NaN.
template <class Op> void test_corners(backend& on, const std::string& isa, const function& f) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> corners{0,        -0.0f,
                                   infinity, -infinity,
                                   1e-40f,   1e30f,
                                   -1e30f,   88.5f,
                                   89,       -88,
                                   -103.5,   -110,
                                   1,        -1,
                                   1e-8f,    -1e-8f,
                                   0.6249f,  0.6251f,
                                   3.9f,     4.1f,
                                   -17,      std::numeric_limits<float>::quiet_NaN()};
  buffer x({int64_t(corners.size())}, corners), y(dtype::f32, {int64_t(corners.size())});
  typename Op::args a{};
  a.x = x;
  a.y = y;
  run<Op>(on, a);
  for (int64_t i = 0; i < x.size(); ++i) {
    const auto expected = float(f(x[i]));
    const bool same = std::isnan(expected) ? std::isnan(y[i])
                                           : y[i] == expected || std::abs(y[i] - expected) <=
                                                                     2e-6 * std::abs(expected) + 1e-42;
    check(same, std::string(Op::name) + "(" + std::to_string(x[i]) + ") is " + std::to_string(y[i]) +
                    ", not " + std::to_string(expected) + ", " + isa);
  }
}

template <class Op>
void test_binary(backend& on, const std::string& isa, const std::function<double(double, double)>& f) {
  const shape whole{3, 5, 77};
  for (const dtype a_type : {dtype::f32, dtype::bf16})
    for (const dtype b_type : {dtype::f32, dtype::bf16})
      for (const shape& b_dims : {whole, shape{5, 77}, shape{77}, shape{}}) {
        std::mt19937 random(6);
        buffer a(a_type, whole, random, 1), b(b_type, b_dims, random, 1), y(a_type, whole);
        run<Op>(on, {a, b, y});
        std::vector<double> expected;
        for (int64_t i = 0; i < a.size(); ++i) expected.push_back(f(a[i], b[i % b.size()]));
        check(relative_error(y, expected) < tolerance(a_type),
              std::string(Op::name) + " of " + std::string(to_string(a_type)) + " and " +
                  std::string(to_string(b_type)) + " " + to_string(b_dims) + ", " + isa);
      }
}

template <class Op> void test_gradient(backend& on, const std::string& isa, const function& slope) {
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    std::mt19937 random(7);
    const shape dims{303, 33};
    buffer dy(type, dims, random, 1), x(type, dims, random, 3), dx(type, dims), again(type, dims);
    buffer sums(dtype::f32, {33}, NAN);
    run<Op>(on, {dy, x, dx, {}});
    run<Op>(on, {dy, x, again, sums});
    std::vector<double> expected, expected_sums(33);
    for (int64_t i = 0; i < x.size(); ++i) expected.push_back(dy[i] * slope(x[i]));
    for (int64_t i = 0; i < x.size(); ++i) expected_sums[size_t(i % 33)] += dx[i];
    const std::string what = std::string(Op::name) + ", " + isa;
    check(relative_error(dx, expected) < tolerance(type), what);
    check(again == dx && relative_error(sums, expected_sums) < 2e-6, "column sums of " + what);
  }
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double normal_distribution(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0)); }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

void test_functions(backend& on, const std::string& isa) {
  test_unary<ops::exp>(on, isa, 5, [](double x) { return std::exp(x); });
  test_unary<ops::log>(on, isa, 5, [](double x) { return std::log(x); });
  test_unary<ops::sqrt>(on, isa, 5, [](double x) { return std::sqrt(x); });
  test_unary<ops::tanh>(on, isa, 2, [](double x) { return std::tanh(x); });
  test_unary<ops::sigmoid>(on, isa, 5, logistic);
  test_unary<ops::softplus>(on, isa, 5, softplus);
  test_unary<ops::gelu>(on, isa, 3, [](double x) { return x * normal_distribution(x); });
  test_unary<ops::quick_gelu>(on, isa, 3, [](double x) { return x * logistic(1.702 * x); });
  test_corners<ops::exp>(on, isa, [](double x) { return std::exp(x); });
  test_corners<ops::log>(on, isa, [](double x) { return std::log(x); });
  test_corners<ops::sqrt>(on, isa, [](double x) { return std::sqrt(x); });
  test_corners<ops::tanh>(on, isa, [](double x) { return std::tanh(x); });
  test_corners<ops::sigmoid>(on, isa, logistic);
  test_corners<ops::softplus>(on, isa, softplus);
  test_gradient<ops::gelu_backward>(on, isa,
                                    [](double x) { return normal_distribution(x) + x * normal_density(x); });
  test_gradient<ops::quick_gelu_backward>(on, isa, [](double x) {
    const double s = logistic(1.702 * x);
    return s + 1.702 * x * s * (1 - s);
  });
}

void test_scale(backend& on, const std::string& isa) {
  std::mt19937 random(8);
  buffer x(dtype::f32, {101}, random, 1), y(dtype::f32, {101});
  run<ops::scale>(on, {x, y, -2.5f, 0.75f});
  std::vector<double> expected;
  for (int64_t i = 0; i < x.size(); ++i) expected.push_back(-2.5 * x[i] + 0.75);
  check(relative_error(y, expected) < 1e-6, "scale, " + isa);
}

/// All upper halves of a float with lower halves around a tie. Subnormals may be flushed.
void test_rounding(backend& on, const std::string& isa) {
  const std::vector<uint32_t> lower{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
  const int64_t count = 65536 * int64_t(lower.size());
  buffer wide(dtype::f32, {count}), narrow(dtype::bf16, {count});
  auto* words = tensor(wide).as<uint32_t>();
  for (int64_t i = 0; i < count; ++i)
    words[i] = uint32_t(i) / uint32_t(lower.size()) << 16 | lower[size_t(i) % lower.size()];
  run<ops::cast>(on, {wide, narrow, dtype::bf16});
  int64_t wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    const bool subnormal = (words[i] & 0x7f800000) == 0;
    const uint16_t expected = bf16(std::bit_cast<float>(words[i])).bits;
    const uint16_t found = tensor(narrow).as<bf16>()[i].bits;
    wrong += found != expected && !(subnormal && found == (expected & 0x8000));
  }
  check(wrong == 0, std::to_string(wrong) + " roundings to bf16, " + isa);
}

void test_cast_update(backend& on, const std::string& isa) {
  std::mt19937 random(17);
  buffer matrix(dtype::f32, {3, 77}, random, 2), vector(dtype::f32, {8}, random, 2);
  buffer of_matrix(dtype::bf16, {3, 77}, NAN), of_vector(dtype::bf16, {8}, NAN);
  run<ops::cast_update>(on, {{matrix, vector}, {of_matrix, of_vector}});
  for (int64_t i = 0; i < 3 * 77; ++i)
    check(of_matrix[i] == float(bf16(matrix[i])), "cast_update of a matrix, " + isa);
  for (int64_t i = 0; i < 8; ++i)
    check(of_vector[i] == float(bf16(vector[i])), "cast_update of a vector, " + isa);
}

/// To bf16 and back: ties round to even, and NaN stays NaN.
void test_cast(backend& on, const std::string& isa) {
  std::vector<float> values{0x1.00p0f, 0x1.01p0f, 0x1.03p0f, -0x1.01p0f, 0x1.0100001p0f,
                            1e-40f,    3.4e38f,   INFINITY,  -INFINITY,  NAN};
  for (int i = 0; i < 30; ++i) values.push_back(float(i) * 0.37f);
  buffer wide({int64_t(values.size())}, values), back(dtype::f32, {wide.size()});
  buffer narrow(dtype::bf16, {wide.size()});
  run<ops::cast>(on, {wide, narrow, dtype::bf16});
  run<ops::cast>(on, {narrow, back, dtype::f32});
  for (int64_t i = 0; i < wide.size(); ++i) {
    const float expected(bf16{wide[i]});
    check(std::isnan(expected) ? std::isnan(back[i]) : back[i] == expected,
          "cast of " + std::to_string(wide[i]) + ", " + isa);
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    test_functions(on, isa);
    test_binary<eva::ops::add>(on, isa, [](double a, double b) { return a + b; });
    test_binary<eva::ops::subtract>(on, isa, [](double a, double b) { return a - b; });
    test_binary<eva::ops::multiply>(on, isa, [](double a, double b) { return a * b; });
    test_binary<eva::ops::divide>(on, isa, [](double a, double b) { return a / b; });
    test_scale(on, isa);
    test_cast(on, isa);
    test_rounding(on, isa);
    test_cast_update(on, isa);
  });
}
