// Sums, expand, softmax and its gradient against double-precision formulas.
#include "ops/reduce.h"

#include "op_test.h"

namespace eva::test {
namespace {

std::string describe(const char* op, dtype type, const shape& dims, const std::string& isa) {
  return std::string(op) + " " + std::string(to_string(type)) + " " + to_string(dims) + ", " + isa;
}

/// The scale of errors of sums of x: a sum may be near zero, but its rounding error is not.
double length_of_sums(const buffer& x) { return std::sqrt(double(x.size())); }

void test_sums(backend& on, dtype type, const shape& dims, const std::string& isa) {
  std::mt19937 random(1);
  buffer x(type, dims, random, 1);
  const int64_t rank = int64_t(dims.size());
  for (int64_t kept = 0; kept <= rank; ++kept) {
    const shape tail(dims.end() - kept, dims.end());
    buffer y(dtype::f32, tail, 9);
    run<ops::sum_leading>(on, {x, y, kept});
    std::vector<double> expected(size_t(y.size()));
    for (int64_t i = 0; i < x.size(); ++i) expected[size_t(i % y.size())] += x[i];
    check(relative_error(y, expected, length_of_sums(x)) < 1e-6, describe("sum_leading", type, dims, isa));
  }
  buffer y(dtype::f32, leading(dims), 9);
  run<ops::sum_last>(on, {x, y});
  std::vector<double> expected(size_t(y.size()));
  for (int64_t i = 0; i < x.size(); ++i) expected[size_t(i / dims.back())] += x[i];
  check(relative_error(y, expected, length_of_sums(x)) < 1e-6, describe("sum_last", type, dims, isa));
}

void test_expand(backend& on, dtype type, const shape& dims, const std::string& isa) {
  std::mt19937 random(2);
  buffer like(type, dims);
  for (const bool last : {false, true}) {
    for (size_t kept = 0; kept <= dims.size(); ++kept) {
      const shape given = last ? leading(dims) : shape(dims.end() - int64_t(kept), dims.end());
      buffer x(type, given, random, 1), y(type, dims);
      run<ops::expand>(on, {x, like, y, last});
      bool same = true;
      for (int64_t i = 0; i < y.size(); ++i) same &= y[i] == x[last ? i / dims.back() : i % x.size()];
      check(same, describe(last ? "expand last" : "expand", type, dims, isa));
    }
  }
}

/// Softmax of rows in double.
std::vector<double> softmax_of(const buffer& x, int64_t columns) {
  std::vector<double> y(size_t(x.size()));
  for (int64_t row = 0; row < x.size() / columns; ++row) {
    double top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < columns; ++i) top = std::max(top, double(x[row * columns + i]));
    for (int64_t i = 0; i < columns; ++i) sum += std::exp(x[row * columns + i] - top);
    for (int64_t i = 0; i < columns; ++i)
      y[size_t(row * columns + i)] = std::exp(x[row * columns + i] - top) / sum;
  }
  return y;
}

void test_softmax(backend& on, dtype type, const shape& dims, const std::string& isa) {
  std::mt19937 random(3);
  const int64_t columns = dims.back();
  // Far from zero, where e^x alone would overflow.
  buffer x(type, dims, random, 3), dy(type, dims, random, 1), y(type, dims), log_y(type, dims),
      dx(type, dims);
  for (int64_t i = 0; i < x.size(); ++i) x.set(i, x[i] + (i / columns % 2 ? -200.0f : 200.0f));
  run<ops::softmax>(on, {x, y});
  run<ops::log_softmax>(on, {x, log_y});
  const std::vector<double> expected = softmax_of(x, columns);
  std::vector<double> logs;
  for (double p : expected) logs.push_back(std::log(p));
  check(relative_error(y, expected) < 3 * tolerance(type), describe("softmax", type, dims, isa));
  check(relative_error(log_y, logs, 1) < 10 * tolerance(type), describe("log_softmax", type, dims, isa));

  run<ops::softmax_backward>(on, {dy, y, dx});
  std::vector<double> gradient(size_t(x.size())), log_gradient(size_t(x.size()));
  for (int64_t row = 0; row < x.size() / columns; ++row) {
    double weighted = 0, sum = 0;
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      weighted += double(dy[i]) * y[i];
      sum += dy[i];
    }
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      gradient[size_t(i)] = y[i] * (dy[i] - weighted);
      log_gradient[size_t(i)] = dy[i] - std::exp(double(log_y[i])) * sum;
    }
  }
  check(relative_error(dx, gradient, 1e-3) < 3 * tolerance(type),
        describe("softmax_backward", type, dims, isa));
  run<ops::log_softmax_backward>(on, {dy, log_y, dx});
  check(relative_error(dx, log_gradient, 1e-3) < 3 * tolerance(type),
        describe("log_softmax_backward", type, dims, isa));
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
      for (const eva::shape& dims : {eva::shape{3, 5, 77}, eva::shape{999, 130}, eva::shape{2, 20000},
                                     eva::shape{257}, eva::shape{4, 1}}) {
        test_sums(on, type, dims, isa);
        test_expand(on, type, dims, isa);
        test_softmax(on, type, dims, isa);
      }
  });
}
