// Normal deviates: equal to the CPU's up to the rounding of the functions.
#include "ops/random_fill.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

void test_cut(float cut) {
  buffer table(dtype::f32, {77, 9}), row(dtype::bf16, {301}), constant(dtype::bf16, {5}),
      none(dtype::f32, {0});
  agree<ops::random_fill>({.parameters = {table, row, constant, none},
                           .deviations = {0.02f, 1.5f, 0, 1},
                           .means = {0, 0.25f, -3, 0},
                           .cut = cut,
                           .seed = 42,
                           .first = 7},
                          "random_fill cut at " + std::to_string(cut), {.f32 = 1e-6});
  agree<ops::random_fill>({.parameters = {table, row, constant, none},
                           .deviations = {0.02f, 1.5f, 0, 1},
                           .means = {0, 0.25f, -3, 0},
                           .cut = cut,
                           .seed = 42,
                           .first = 7,
                           .rows = {70, 1, 1, 0},
                           .columns = {5, 299, 4, 0}},
                          "padded random_fill cut at " + std::to_string(cut), {.f32 = 1e-6});
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  for (const float cut : {0.0f, 2.0f, 0.5f}) test_cut(cut);
  return status();
}
