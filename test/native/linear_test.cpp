// Linear layers, their gradients and matmul against double-precision sums, for every instruction set of this
// processor.
#include "ops/linear.h"

#include "op_test.h"

namespace {

using namespace eva;
using namespace eva::test;

double activate(double x, ops::activation activation) {
  if (activation == ops::activation::gelu) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  if (activation == ops::activation::quick_gelu) return x / (1 + std::exp(-1.702 * x));
  return x;
}

/// bf16 results are rounded once.
double tolerance(dtype type) { return type == dtype::f32 ? 2e-6 : 4e-3; }

struct problem {
  int64_t rows, inner, outer;
  dtype type = dtype::f32;
  ops::activation activation = ops::activation::none;
  bool residual = false, keeps_pre = false, bias = true;
};

std::string describe(const problem& p) {
  return std::to_string(p.rows) + " rows, " + std::to_string(p.inner) + " -> " + std::to_string(p.outer) +
         " " + std::string(to_string(p.type)) + ", activation " + std::to_string(int(p.activation)) +
         (p.residual ? ", residual" : "") + (p.keeps_pre ? ", pre" : "") + (p.bias ? "" : ", no bias");
}

void test_forward(backend& on, const std::string& where, const problem& p) {
  std::mt19937 random(7);
  buffer x(p.type, {p.rows, p.inner}, random, 1), residual(p.type, {p.rows, p.outer}, random, 1);
  buffer weight(p.type, {p.outer, p.inner}, random, 1 / std::sqrt(float(p.inner)));
  buffer bias(dtype::f32, {p.outer}, random, 1);
  ops::linear::args a;
  a.x = x;
  a.weight = weight;
  if (p.bias) a.bias = bias;
  if (p.residual) a.residual = residual;
  a.act = p.activation;
  ops::linear::infer(a);
  buffer y(p.type, {p.rows, p.outer}, NAN), pre(p.type, {p.rows, p.outer}, NAN);
  a.y = y;
  if (p.keeps_pre) a.pre = pre;

  std::vector<double> expected, expected_pre;
  for (int64_t row = 0; row < p.rows; ++row)
    for (int64_t n = 0; n < p.outer; ++n) {
      double sum = p.bias ? bias[n] : 0;
      for (int64_t k = 0; k < p.inner; ++k) sum += double(x[row * p.inner + k]) * weight[n * p.inner + k];
      expected_pre.push_back(sum);
      const auto at = int64_t(expected.size());
      expected.push_back(activate(sum, p.activation) + (p.residual ? residual[at] : 0.0f));
    }
  const auto linear = prepare<ops::linear>(on, a);
  linear->run();
  check(relative_error(y, expected) < tolerance(p.type), where + " linear: " + describe(p));
  if (p.keeps_pre)
    check(relative_error(pre, expected_pre) < tolerance(p.type), where + " linear's pre: " + describe(p));
  // A prepared op uses its tensors' current addresses.
  buffer moved = y;
  std::fill_n(a.y.as<std::byte>(), a.y.bytes(), std::byte{0});
  a.y = moved;
  linear->run();
  check(relative_error(moved, expected) < tolerance(p.type), where + " linear, moved: " + describe(p));
}

void test_gradients(backend& on, const std::string& where, const problem& p) {
  std::mt19937 random(11);
  buffer x(p.type, {p.rows, p.inner}, random, 1), dy(p.type, {p.rows, p.outer}, random, 1);
  buffer weight(p.type, {p.outer, p.inner}, random, 0.1f);
  std::vector<double> expected_dx(size_t(p.rows * p.inner)), expected_weight(size_t(p.outer * p.inner)),
      expected_bias(size_t(p.outer), 0.0);
  for (int64_t row = 0; row < p.rows; ++row)
    for (int64_t i = 0; i < p.outer; ++i) {
      const double g = dy[row * p.outer + i];
      expected_bias[size_t(i)] += g;
      for (int64_t k = 0; k < p.inner; ++k) {
        expected_weight[size_t(i * p.inner + k)] += g * x[row * p.inner + k];
        expected_dx[size_t(row * p.inner + k)] += g * weight[i * p.inner + k];
      }
    }
  ops::linear_input_gradient::args input;
  input.dy = dy;
  input.weight = weight;
  ops::linear_input_gradient::infer(input);
  buffer dx(p.type, {p.rows, p.inner}, NAN);
  input.dx = dx;
  run<ops::linear_input_gradient>(on, input);
  check(relative_error(dx, expected_dx) < tolerance(p.type), where + " dx: " + describe(p));

  ops::linear_weight_gradient::args parameters;
  parameters.dy = dy;
  parameters.x = x;
  ops::linear_weight_gradient::infer(parameters);
  buffer dweight(dtype::f32, {p.outer, p.inner}, NAN), dbias(dtype::f32, {p.outer}, NAN);
  parameters.dweight = dweight;
  parameters.dbias = dbias;
  run<ops::linear_weight_gradient>(on, parameters);
  check(relative_error(dweight, expected_weight) < 2e-6, where + " dweight: " + describe(p));
  check(relative_error(dbias, expected_bias) < 2e-6, where + " dbias: " + describe(p));
  // Each output alone.
  const buffer both_weight = dweight, both_bias = dbias;
  parameters.dweight.data = nullptr;
  run<ops::linear_weight_gradient>(on, parameters);
  parameters.dweight = dweight;
  parameters.dbias.data = nullptr;
  run<ops::linear_weight_gradient>(on, parameters);
  check(dweight == both_weight && dbias == both_bias, where + " one gradient alone: " + describe(p));
}

void test_matmul(backend& on, const std::string& where, dtype type, const shape& batch, bool transpose_a,
                 bool transpose_b) {
  const int64_t m = 5, n = 37, k = 19, batches = element_count(batch);
  std::mt19937 random(3);
  auto dims = [&](int64_t rows, int64_t columns, bool exchanged) {
    return exchanged ? append(append(batch, columns), rows) : append(append(batch, rows), columns);
  };
  buffer a(type, dims(m, k, transpose_a), random, 1), b(type, dims(k, n, transpose_b), random, 1);
  ops::matmul::args args;
  args.a = a;
  args.b = b;
  args.transpose_a = transpose_a;
  args.transpose_b = transpose_b;
  ops::matmul::infer(args);
  buffer y(type, args.y.dims, NAN);
  args.y = y;
  std::vector<double> expected;
  for (int64_t t = 0; t < batches; ++t)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += double(a[t * m * k + (transpose_a ? l * m + i : i * k + l)]) *
                 b[t * k * n + (transpose_b ? j * k + l : l * n + j)];
        expected.push_back(sum);
      }
  run<ops::matmul>(on, args);
  check(relative_error(y, expected) < tolerance(type), where + " matmul " + std::string(to_string(type)) +
                                                           " " + to_string(args.a.dims) + " " +
                                                           to_string(args.b.dims));
}

void test_all(backend& on, const std::string& where) {
  using ops::activation;
  for (dtype type : {dtype::f32, dtype::bf16}) {
    const std::vector<problem> problems = {
        {.rows = 77, .inner = 64, .outer = 48, .type = type},
        {.rows = 1, .inner = 1, .outer = 1, .type = type},
        {.rows = 1, .inner = 96, .outer = 33, .type = type, .bias = false},
        {.rows = 300, .inner = 64, .outer = 192, .type = type},
        {.rows = 33, .inner = 50, .outer = 137, .type = type, .residual = true},
        {.rows = 33, .inner = 50, .outer = 71, .type = type, .residual = true},
        {.rows = 20, .inner = 2730, .outer = 24, .type = type, .residual = true},
        {.rows = 20, .inner = 24, .outer = 5460, .type = type, .keeps_pre = true},
        {.rows = 45, .inner = 40, .outer = 95, .type = type, .activation = activation::gelu},
        {.rows = 45, .inner = 40, .outer = 95, .type = type, .activation = activation::quick_gelu},
        {.rows = 129,
         .inner = 40,
         .outer = 99,
         .type = type,
         .activation = activation::gelu,
         .residual = true},
        {.rows = 129,
         .inner = 40,
         .outer = 99,
         .type = type,
         .activation = activation::gelu,
         .residual = true,
         .keeps_pre = true},
        {.rows = 129,
         .inner = 40,
         .outer = 35,
         .type = type,
         .activation = activation::quick_gelu,
         .keeps_pre = true}};
    for (const problem& p : problems) {
      test_forward(on, where, p);
      test_gradients(on, where, p);
    }
    for (const shape& batch : {shape{}, shape{1}, shape{3}, shape{2, 2}})
      for (int transposes = 0; transposes < 4; ++transposes)
        test_matmul(on, where, type, batch, transposes & 1, transposes & 2);
  }
}

}  // namespace

int main() { return on_each_instruction_set(2, test_all); }
