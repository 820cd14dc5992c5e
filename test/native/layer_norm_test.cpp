// Layer norm, RMSNorm and their gradients against double-precision formulas.
#include "ops/layer_norm.h"

#include "op_test.h"

namespace eva::test {
namespace {

struct problem {
  int64_t rows, columns;
  dtype type;
  bool residual;
  bool rms = false;  // RMSNorm, without a bias
  float offset = 0;  // added to x, to expose cancellation
};

std::string describe(const problem& p, const std::string& isa) {
  return (p.rms ? "rms, " : "") + isa + ", [" + std::to_string(p.rows) + ", " + std::to_string(p.columns) +
         "] " + std::string(to_string(p.type)) + (p.residual ? ", residual" : "");
}

struct row_moments {
  double mean = 0, rstd = 0;

  row_moments(const buffer& x, int64_t row, int64_t columns, double eps, bool rms) {
    double variance = 0;
    for (int64_t i = 0; i < columns && !rms; ++i) mean += x[row * columns + i] / double(columns);
    for (int64_t i = 0; i < columns; ++i)
      variance += std::pow(x[row * columns + i] - mean, 2) / double(columns);
    rstd = 1 / std::sqrt(variance + eps);
  }
};

void test_layer_norm(backend& on, const problem& p, const std::string& what) {
  std::mt19937 random(1);
  const shape dims{p.rows, p.columns};
  buffer x(p.type, dims, random, 2), residual(p.type, dims, random, 1), y(p.type, dims);
  for (int64_t i = 0; i < x.size(); ++i) x.set(i, x[i] + p.offset);
  buffer weight(dtype::f32, {p.columns}, random, 1), bias(dtype::f32, {p.columns}, random, 1);
  buffer mean(dtype::f32, {p.rows}), rstd(dtype::f32, {p.rows});
  ops::layer_norm::args a{
      x,     weight, p.rms ? tensor{} : bias, p.residual ? tensor(residual) : tensor{}, y, mean, rstd,
      1e-5f, !p.rms};
  run<ops::layer_norm>(on, a);

  std::vector<double> expected, means, rstds;
  for (int64_t row = 0; row < p.rows; ++row) {
    const row_moments m(x, row, p.columns, 1e-5f, p.rms);
    means.push_back(m.mean);
    rstds.push_back(m.rstd);
    for (int64_t i = 0; i < p.columns; ++i)
      expected.push_back((x[row * p.columns + i] - m.mean) * m.rstd * weight[i] + (p.rms ? 0 : bias[i]) +
                         (p.residual ? residual[row * p.columns + i] : 0));
  }
  check(relative_error(y, expected) < tolerance(p.type), "layer_norm y, " + what);
  check(relative_error(mean, means) < 2e-6, "layer_norm mean, " + what);
  check(relative_error(rstd, rstds) < 1e-5, "layer_norm rstd, " + what);

  const buffer before = y;
  a.y.data = nullptr;
  run<ops::layer_norm>(on, a);
  check(y == before, "layer_norm without y, " + what);
}

std::vector<double> doubles(const buffer& values) {
  std::vector<double> result;
  for (int64_t i = 0; i < values.size(); ++i) result.push_back(values[i]);
  return result;
}

void test_backward(backend& on, const problem& p, const std::string& what) {
  std::mt19937 random(2);
  const shape dims{p.rows, p.columns};
  buffer x(p.type, dims, random, 2), dy(p.type, dims, random, 1), residual(p.type, dims, random, 1);
  buffer weight(dtype::f32, {p.columns}, random, 1), mean(dtype::f32, {p.rows}), rstd(dtype::f32, {p.rows});
  buffer dx(p.type, dims), dweight(dtype::f32, {p.columns}, 7), dbias(dtype::f32, {p.columns}, 7);
  buffer bias(dtype::f32, {p.columns}, random, 1), sums(dtype::f32, {p.columns}, 7), y(p.type, dims);

  std::vector<double> expected(size_t(x.size())), weights(size_t(p.columns)), biases(size_t(p.columns));
  for (int64_t row = 0; row < p.rows; ++row) {
    const row_moments m(x, row, p.columns, 1e-6, p.rms);
    mean.set(row, float(m.mean));
    rstd.set(row, float(m.rstd));
    double g_mean = 0, g_normal_mean = 0;
    const auto normal = [&](int64_t i) { return (x[row * p.columns + i] - m.mean) * m.rstd; };
    for (int64_t i = 0; i < p.columns; ++i) {
      const double d = dy[row * p.columns + i];
      weights[size_t(i)] += d * normal(i);
      biases[size_t(i)] += d;
      if (!p.rms) g_mean += d * weight[i] / double(p.columns);
      g_normal_mean += d * weight[i] * normal(i) / double(p.columns);
    }
    for (int64_t i = 0; i < p.columns; ++i) {
      const int64_t at = row * p.columns + i;
      expected[size_t(at)] = m.rstd * (dy[at] * weight[i] - g_mean - normal(i) * g_normal_mean) +
                             (p.residual ? residual[at] : 0);
    }
  }
  ops::layer_norm_backward::args a{.dy = dy,
                                   .x = x,
                                   .weight = weight,
                                   .bias = {},
                                   .mean = {},
                                   .rstd = rstd,
                                   .residual = {},
                                   .dx = dx,
                                   .dweight = dweight,
                                   .dbias = dbias,
                                   .dx_sums = {},
                                   .y = {}};
  if (!p.rms) a.bias = bias;
  if (!p.rms) a.mean = mean;
  if (p.residual) a.residual = residual;
  run<ops::layer_norm_backward>(on, a);
  check(relative_error(dx, expected) < tolerance(p.type), "layer_norm dx, " + what);
  check(relative_error(dweight, weights) < 4e-6, "layer_norm dweight, " + what);
  check(relative_error(dbias, biases) < 4e-6, "layer_norm dbias, " + what);

  const buffer first = dweight, first_dx = dx;
  a.dx.data = nullptr;
  run<ops::layer_norm_backward>(on, a);
  check(dweight == first, "layer_norm dweight again and without dx, " + what);

  // With what its neighbors need: the column sums of dx, and the forward's result.
  a.dx = dx;
  a.dx_sums = sums;
  a.y = y;
  run<ops::layer_norm_backward>(on, a);
  std::vector<double> expected_sums(size_t(p.columns));
  for (int64_t i = 0; i < dx.size(); ++i) expected_sums[size_t(i % p.columns)] += dx[i];
  buffer forward(p.type, dims);
  ops::layer_norm::args f;
  f.x = x;
  f.weight = weight;
  f.bias = a.bias;
  f.centered = !p.rms;
  f.y = forward;
  run<ops::layer_norm>(on, f);
  check(dx == first_dx && relative_error(sums, expected_sums) < 4e-6,
        "column sums of layer_norm dx, " + what);
  check(relative_error(y, doubles(forward)) < tolerance(p.type), "layer_norm's result again, " + what);
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
      for (const problem& p :
           {problem{77, 768, type, false}, problem{99, 128, type, true}, problem{33, 2730, type, false},
            problem{1, 5, type, true}, problem{257, 37, type, false}, problem{6, 1408, type, true},
            problem{33, 768, type, false, true}, problem{7, 4096, type, true, true},
            problem{257, 37, type, true, true}, problem{1, 5, type, false, true}}) {
        test_layer_norm(on, p, describe(p, isa));
        test_backward(on, p, describe(p, isa));
      }
    const problem offset{9, 768, eva::dtype::f32, false, false, 10};
    test_layer_norm(on, offset, describe(offset, isa) + " off center");
  });
}
