// Ops that move rows, against loops over single elements.
#include "ops/layout.h"

#include "op_test.h"

namespace eva::test {
namespace {

void test_transpose(backend& on, const std::string& isa) {
  for (const dtype type : {dtype::f32, dtype::bf16})
    for (const auto& [batch, m, n] : {std::array<int64_t, 3>{1, 1, 1}, {3, 33, 70}, {1, 129, 640}}) {
      std::mt19937 random(1);
      buffer x(type, {batch, m, n}, random, 1), y(type, {batch, n, m});
      run<ops::transpose>(on, {x, y});
      bool same = true;
      for (int64_t b = 0; b < batch; ++b)
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) same &= y[(b * n + j) * m + i] == x[(b * m + i) * n + j];
      check(same, "transpose " + to_string(shape{batch, m, n}) + ", " + isa);
    }
  std::vector<uint8_t> bytes{1, 2, 3, 4, 5, 6}, turned(6);
  run<ops::transpose>(on, {view(bytes, {2, 3}), view(turned, {3, 2})});
  check(turned == std::vector<uint8_t>{1, 4, 2, 5, 3, 6}, "transpose of bytes, " + isa);
}

void test_rows(backend& on, const std::string& isa) {
  std::mt19937 random(2);
  const int64_t wide = 300000;  // enough work for every thread
  buffer a(dtype::f32, {2, wide}, random, 1), b(dtype::f32, {1, wide}, random, 1),
      joined(dtype::f32, {3, wide});
  run<ops::concat>(on, {{a, b}, joined});
  bool same = true;
  for (int64_t i = 0; i < joined.size(); ++i) same &= joined[i] == (i < a.size() ? a[i] : b[i - a.size()]);
  check(same, "concat, " + isa);

  buffer back(dtype::f32, {2, wide});
  run<ops::slice>(on, {joined, back, 0, 2});
  check(back == a, "slice, " + isa);

  buffer padded(dtype::f32, {4, wide}, 5);
  run<ops::pad>(on, {b, padded, 2, 4});
  same = true;
  for (int64_t i = 0; i < padded.size(); ++i) same &= padded[i] == (i / wide == 2 ? b[i % wide] : 0.0f);
  check(same, "pad, " + isa);
}

void test_gather(backend& on, dtype type, const std::string& isa) {
  std::mt19937 random(3);
  const int64_t columns = 37;
  buffer x(type, {2, 5, columns}, random, 1), y(type, {4, columns}), dx(type, {2, 5, columns}, 3);
  std::vector<int32_t> index{9, 0, 3, 0};
  run<ops::gather_rows>(on, {x, view(index, {4}), y});
  bool same = true;
  for (int64_t i = 0; i < y.size(); ++i)
    same &= y[i] == x[index[size_t(i / columns)] * columns + i % columns];
  check(same, "gather_rows, " + isa);

  run<ops::gather_rows_backward>(on, {y, view(index, {4}), x, dx});
  std::vector<double> expected(size_t(x.size()));
  for (int64_t i = 0; i < y.size(); ++i)
    expected[size_t(index[size_t(i / columns)] * columns + i % columns)] += y[i];
  check(relative_error(dx, expected) < tolerance(type), "gather_rows_backward, " + isa);

  for (const int32_t bad : {-1, 10}) {
    index[2] = bad;
    std::string message;
    try {
      run<ops::gather_rows>(on, {x, view(index, {4}), y});
    } catch (const data_error& e) {
      message = e.what();
    }
    check(message.find("index[2] is " + std::to_string(bad)) != std::string::npos,
          "gather_rows outside: '" + message + "', " + isa);
  }
}

void test_mean(backend& on, dtype type, const std::string& isa) {
  std::mt19937 random(4);
  const int64_t batch = 9, tokens = 7, columns = 45;
  buffer x(type, {batch, tokens, columns}, random, 1), y(type, {batch, columns});
  buffer dx(type, {batch, tokens, columns}, 3);
  for (const int64_t begin : {0, 1, 6}) {
    run<ops::mean_tokens>(on, {x, y, begin});
    run<ops::mean_tokens_backward>(on, {y, x, dx, begin});
    std::vector<double> mean(size_t(y.size())), gradient(size_t(x.size()));
    for (int64_t i = 0; i < x.size(); ++i) {
      const int64_t b = i / columns / tokens, token = i / columns % tokens, at = b * columns + i % columns;
      if (token < begin) continue;
      mean[size_t(at)] += x[i] / double(tokens - begin);
      gradient[size_t(i)] = y[at] / double(tokens - begin);
    }
    check(relative_error(y, mean) < tolerance(type), "mean_tokens, " + isa);
    check(relative_error(dx, gradient) < tolerance(type), "mean_tokens_backward, " + isa);
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    test_transpose(on, isa);
    test_rows(on, isa);
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16}) {
      test_gather(on, type, isa);
      test_mean(on, type, isa);
    }
  });
}
