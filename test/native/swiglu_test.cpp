// SwiGLU, with and without its layer norm, and the gradient against double-precision formulas.
#include "ops/swiglu.h"

#include "op_test.h"

namespace eva::test {
namespace {

struct problem {
  int64_t rows, hidden;
  dtype type;
  bool norm;
};

/// The reference for one row in double: h, its layer norm, and the derivatives of h.
struct reference_row {
  std::vector<double> h, normal, by_gate, by_value;
  double mean = 0, rstd = 0;

  reference_row(const buffer& x, int64_t row, int64_t hidden, double eps) {
    for (int64_t i = 0; i < hidden; ++i) {
      const double gate = x[row * 2 * hidden + i], value = x[row * 2 * hidden + hidden + i];
      const double s = 1 / (1 + std::exp(-gate));
      h.push_back(gate * s * value);
      by_gate.push_back(value * s * (1 + gate * (1 - s)));
      by_value.push_back(gate * s);
      mean += h.back() / double(hidden);
    }
    double variance = 0;
    for (double value : h) variance += std::pow(value - mean, 2) / double(hidden);
    rstd = 1 / std::sqrt(variance + eps);
    for (double value : h) normal.push_back((value - mean) * rstd);
  }
};

void test_swiglu(backend& on, const problem& p, const std::string& what) {
  std::mt19937 random(3);
  buffer x(p.type, {p.rows, 2 * p.hidden}, random, 2), y(p.type, {p.rows, p.hidden});
  buffer weight(dtype::f32, {p.hidden}, random, 1), bias(dtype::f32, {p.hidden}, random, 1);
  buffer mean(dtype::f32, {p.rows}), rstd(dtype::f32, {p.rows});
  ops::swiglu::args a{x, {}, {}, y, mean, rstd, 1e-6f};
  if (p.norm) {
    a.weight = weight;
    a.bias = bias;
  }
  run<ops::swiglu>(on, a);
  std::vector<double> expected, means, rstds;
  for (int64_t row = 0; row < p.rows; ++row) {
    const reference_row r(x, row, p.hidden, 1e-6);
    means.push_back(r.mean);
    rstds.push_back(r.rstd);
    for (int64_t i = 0; i < p.hidden; ++i)
      expected.push_back(p.norm ? r.normal[size_t(i)] * weight[i] + bias[i] : r.h[size_t(i)]);
  }
  check(relative_error(y, expected) < tolerance(p.type), "swiglu y, " + what);
  if (!p.norm) return;
  check(relative_error(mean, means) < 1e-5, "swiglu mean, " + what);
  check(relative_error(rstd, rstds) < 1e-5, "swiglu rstd, " + what);
}

/// What the backward pass gives in addition: the column sums of dx, and the forward's result.
void test_neighbors(backend& on, const problem& p, ops::swiglu_backward::args a, const buffer& dx,
                    const std::string& what) {
  std::mt19937 random(8);
  buffer bias(dtype::f32, {p.hidden}, random, 1), sums(dtype::f32, {2 * p.hidden}, 7);
  buffer y(p.type, {p.rows, p.hidden}), forward(p.type, {p.rows, p.hidden});
  if (p.norm) a.bias = bias;
  a.dx_sums = sums;
  a.y = y;
  run<ops::swiglu_backward>(on, a);
  std::vector<double> expected_sums(size_t(2 * p.hidden)), expected;
  for (int64_t i = 0; i < dx.size(); ++i) expected_sums[size_t(i % (2 * p.hidden))] += dx[i];
  check(relative_error(sums, expected_sums) < 4e-6, "column sums of swiglu dx, " + what);
  ops::swiglu::args f;
  f.x = a.x;
  f.weight = a.weight;
  f.bias = a.bias;
  f.y = forward;
  run<ops::swiglu>(on, f);
  for (int64_t i = 0; i < forward.size(); ++i) expected.push_back(forward[i]);
  check(relative_error(y, expected) < tolerance(p.type), "swiglu's result again, " + what);
}

void test_backward(backend& on, const problem& p, const std::string& what) {
  std::mt19937 random(4);
  buffer x(p.type, {p.rows, 2 * p.hidden}, random, 2), dy(p.type, {p.rows, p.hidden}, random, 1);
  buffer weight(dtype::f32, {p.hidden}, random, 1), mean(dtype::f32, {p.rows}), rstd(dtype::f32, {p.rows});
  buffer dx(p.type, {p.rows, 2 * p.hidden}), dweight(dtype::f32, {p.hidden}), dbias(dtype::f32, {p.hidden});

  std::vector<double> expected(size_t(x.size())), weights(size_t(p.hidden)), biases(size_t(p.hidden));
  for (int64_t row = 0; row < p.rows; ++row) {
    const reference_row r(x, row, p.hidden, 1e-6);
    mean.set(row, float(r.mean));
    rstd.set(row, float(r.rstd));
    double g_mean = 0, g_normal_mean = 0;
    for (int64_t i = 0; i < p.hidden; ++i) {
      const double d = dy[row * p.hidden + i], normal = r.normal[size_t(i)];
      weights[size_t(i)] += d * normal;
      biases[size_t(i)] += d;
      g_mean += d * weight[i] / double(p.hidden);
      g_normal_mean += d * weight[i] * normal / double(p.hidden);
    }
    for (int64_t i = 0; i < p.hidden; ++i) {
      const double d = dy[row * p.hidden + i];
      const double dh = p.norm ? r.rstd * (d * weight[i] - g_mean - r.normal[size_t(i)] * g_normal_mean) : d;
      expected[size_t(row * 2 * p.hidden + i)] = dh * r.by_gate[size_t(i)];
      expected[size_t(row * 2 * p.hidden + p.hidden + i)] = dh * r.by_value[size_t(i)];
    }
  }
  ops::swiglu_backward::args a;
  a.dy = dy;
  a.x = x;
  a.dx = dx;
  a.dweight = dweight;
  a.dbias = dbias;
  if (p.norm) {
    a.weight = weight;
    a.mean = mean;
    a.rstd = rstd;
  } else {
    a.dweight.data = a.dbias.data = nullptr;
  }
  run<ops::swiglu_backward>(on, a);
  check(relative_error(dx, expected) < 2 * tolerance(p.type), "swiglu dx, " + what);
  test_neighbors(on, p, a, dx, what);
  if (!p.norm) return;
  check(relative_error(dweight, weights) < 1e-5, "swiglu dweight, " + what);
  check(relative_error(dbias, biases) < 1e-5, "swiglu dbias, " + what);
  const buffer first = dweight;
  a.dx.data = nullptr;
  run<ops::swiglu_backward>(on, a);
  check(dweight == first, "swiglu dweight again and without dx, " + what);
}

/// Copies rows of `from` columns into rows of `to` columns, the rest of which is `rest`.
buffer with_columns(const buffer& x, dtype type, int64_t from, int64_t to, float rest = 0) {
  const int64_t rows = x.size() / from;
  buffer y(type, rows == 1 ? shape{to} : shape{rows, to}, rest);
  for (int64_t i = 0; i < rows * std::min(from, to); ++i) {
    const int64_t row = i / std::min(from, to), column = i % std::min(from, to);
    y.set(row * to + column, x[row * from + column]);
  }
  return y;
}

/// Zero padding columns change no result, and their results are zero.
void test_padding(backend& on, const problem& p, int64_t stored, const std::string& what) {
  std::mt19937 random(5);
  const int64_t f = p.hidden;
  buffer x(p.type, {2 * p.rows, f}, random, 2), dy(p.type, {p.rows, f}, random, 1);
  buffer weight(dtype::f32, {f}, random, 1), bias(dtype::f32, {f}, random, 1);
  const auto results = [&](int64_t width) {
    buffer wide_x = with_columns(x, p.type, f, width), wide_dy = with_columns(dy, p.type, f, width);
    buffer wide_weight = with_columns(weight, dtype::f32, f, width),
           wide_bias = with_columns(bias, dtype::f32, f, width);
    buffer y(p.type, {p.rows, width}, 9), mean(dtype::f32, {p.rows}), rstd(dtype::f32, {p.rows});
    buffer dx(p.type, {2 * p.rows, width}, 9), dweight(dtype::f32, {width}, 9), dbias(dtype::f32, {width}, 9);
    tensor both = wide_x, dboth = dx;
    both.dims = dboth.dims = {p.rows, 2 * width};
    run<ops::swiglu>(on, {both, wide_weight, wide_bias, y, mean, rstd, 1e-6f, f});
    run<ops::swiglu_backward>(on,
                              {wide_dy, both, wide_weight, {}, mean, rstd, dboth, dweight, dbias, {}, {}, f});
    return std::vector<buffer>{y, dx, dweight, dbias};
  };
  const std::vector<buffer> plain = results(f), padded = results(stored);
  const dtype types[] = {p.type, p.type, dtype::f32, dtype::f32};
  for (size_t i = 0; i < plain.size(); ++i) {
    const buffer front = with_columns(padded[i], types[i], stored, f);
    std::vector<double> expected;
    for (int64_t j = 0; j < plain[i].size(); ++j) expected.push_back(plain[i][j]);
    check(relative_error(front, expected) < tolerance(types[i]),
          "padded swiglu, result " + std::to_string(i) + ", " + what);
    const buffer expected_all = with_columns(front, types[i], f, stored);
    bool zeros = true;  // +0 or -0
    for (int64_t j = 0; j < expected_all.size(); ++j) zeros = zeros && expected_all[j] == padded[i][j];
    check(zeros, "zeros in padded swiglu, result " + std::to_string(i) + ", " + what);
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
      for (const bool norm : {false, true})
        for (const auto& [rows, hidden] : {std::pair{15, 2730}, {77, 341}, {1, 3}, {129, 688}}) {
          const problem p{rows, hidden, type, norm};
          const std::string what = isa + ", [" + std::to_string(rows) + ", " + std::to_string(hidden) + "] " +
                                   std::string(to_string(type)) + (norm ? ", norm" : "");
          test_swiglu(on, p, what);
          test_backward(on, p, what);
          if (norm) test_padding(on, p, (hidden + 63) / 64 * 64, what);
        }
  });
}
