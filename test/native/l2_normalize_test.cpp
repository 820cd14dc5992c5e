// L2 normalization and its gradient against double-precision formulas.
#include "ops/l2_normalize.h"

#include "op_test.h"

namespace eva::test {
namespace {

void test(backend& on, dtype type, int64_t rows, int64_t columns, const std::string& isa) {
  const std::string what = to_string(shape{rows, columns}) + " " + std::string(to_string(type)) + ", " + isa;
  std::mt19937 random(1);
  buffer x(type, {rows, columns}, random, 3), y(type, {rows, columns}), norm(dtype::f32, {rows});
  for (int64_t i = 0; i < columns; ++i) x.set(i, 0);  // the norm of the first row is 0
  run<ops::l2_normalize>(on, {x, y, norm, 1e-6f});

  buffer dy(type, {rows, columns}, random, 1), dx(type, {rows, columns});
  run<ops::l2_normalize_backward>(on, {dy, y, norm, dx});

  std::vector<double> expected, norms, gradient;
  for (int64_t row = 0; row < rows; ++row) {
    double squares = 0, along = 0;
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      squares += double(x[i]) * x[i];
      along += double(y[i]) * dy[i];
    }
    norms.push_back(std::max(std::sqrt(squares), double(1e-6f)));
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      expected.push_back(x[i] / norms.back());
      gradient.push_back((dy[i] - y[i] * along) / norms.back());
    }
  }
  check(relative_error(y, expected) < tolerance(type), "l2_normalize y, " + what);
  check(relative_error(norm, norms) < 2e-6, "l2_normalize norm, " + what);
  check(relative_error(dx, gradient) < tolerance(type), "l2_normalize dx, " + what);
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16}) {
      test(on, type, 2, 1, isa);
      test(on, type, 99, 77, isa);
      test(on, type, 70, 512, isa);
    }
  });
}
