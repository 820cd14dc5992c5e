// Elementwise ops: aligned and odd sizes, every pair of types, every way to broadcast b.
#include "ops/elementwise.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

constexpr dtype float_types[] = {dtype::f32, dtype::bf16};

std::string described(const char* name, const shape& dims, dtype type) {
  return std::string(name) + " " + to_string(dims) + " " + std::string(to_string(type));
}

/// Random values: at least 0.05 if `positive`, otherwise of both signs.
buffer operand(dtype type, const shape& dims, unsigned seed, bool positive) {
  std::mt19937 random(seed);
  buffer x(type, dims, random, 2);
  for (int64_t i = 0; positive && i < x.size(); ++i) x.set(i, 0.05f + std::abs(x[i]));
  return x;
}

template <class Op> void test_unary(bool positive = false) {
  for (const dtype type : float_types)
    for (const shape& dims : std::initializer_list<shape>{{}, {5}, {3, 8}, {7, 150}, {0, 8}}) {
      buffer x = operand(type, dims, 1, positive);
      agree<Op>({.x = x, .y = {}}, described(Op::name, dims, type));
    }
}

template <class Op> void test_binary() {
  for (const dtype type : float_types)
    for (const dtype other : float_types)
      for (const auto& [dims, tail] : std::initializer_list<std::pair<shape, shape>>{{{3, 5}, {3, 5}},
                                                                                     {{3, 16}, {16}},
                                                                                     {{9, 11}, {11}},
                                                                                     {{2, 3, 8}, {3, 8}},
                                                                                     {{4, 24}, {}},
                                                                                     {{1001}, {1001}},
                                                                                     {{2, 4}, {4}},
                                                                                     {{0, 3}, {3}}}) {
        buffer a = operand(type, dims, 1, false), b = operand(other, tail, 2, true);
        agree<Op>({.a = a, .b = b, .y = {}}, described(Op::name, dims, type) + " with " + to_string(tail));
      }
}

template <class Op> void test_gradient() {
  for (const dtype type : float_types)
    for (const dtype other : float_types)
      for (const shape& dims : std::initializer_list<shape>{{5, 77}, {300, 24}, {0, 8}}) {
        buffer dy = operand(type, dims, 1, false), x = operand(other, dims, 2, false);
        const std::string what = described(Op::name, dims, type);
        agree<Op>({.dy = dy, .x = x, .dx = {}, .dx_sums = {}}, what);
        agree<Op>({.dy = dy, .x = x, .dx = {}, .dx_sums = {}}, what + " alone", {.unread = {"dx_sums"}});
      }
}

/// Arguments at which functions overflow, underflow or are undefined.
template <class Op> void test_extremes() {
  buffer x({11}, {0, -0.0f, 100, -100, 20, -20, 5, -5, 1e-20f, -1e-6f, NAN});
  agree<Op>({.x = x, .y = {}}, std::string(Op::name) + " of extremes");
}

void test_cast_update() {
  std::mt19937 random(17);
  buffer matrix(dtype::f32, {3, 77}, random, 2), vector(dtype::f32, {8}, random, 2), none(dtype::f32, {0});
  buffer copies[] = {{dtype::bf16, {3, 77}}, {dtype::bf16, {8}}, {dtype::bf16, {0}}};
  agree<ops::cast_update>({.parameters = {matrix, vector, none}, .copies = {copies[0], copies[1], copies[2]}},
                          "cast_update");
}

void test_cast_and_scale() {
  for (const dtype from : float_types)
    for (const dtype to : float_types) {
      buffer x = operand(from, {3, 77}, 3, false);
      agree<ops::cast>({.x = x, .y = {}, .type = to}, described("cast", {3, 77}, from),
                       {.f32 = 0, .bf16 = 0});
    }
  buffer x = operand(dtype::f32, {3, 77}, 3, false);
  agree<ops::scale>({.x = x, .y = {}, .factor = -1.5f, .offset = 0.25f}, "scale");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva;
  using namespace eva::test;
  test_unary<ops::exp>();
  test_unary<ops::log>(true);
  test_unary<ops::sqrt>(true);
  test_unary<ops::tanh>();
  test_unary<ops::sigmoid>();
  test_unary<ops::softplus>();
  test_unary<ops::gelu>();
  test_unary<ops::quick_gelu>();
  test_extremes<ops::sigmoid>();
  test_extremes<ops::softplus>();
  test_extremes<ops::tanh>();
  test_binary<ops::add>();
  test_binary<ops::subtract>();
  test_binary<ops::multiply>();
  test_binary<ops::divide>();
  test_gradient<ops::gelu_backward>();
  test_gradient<ops::quick_gelu_backward>();
  test_cast_update();
  test_cast_and_scale();
  return status();
}
