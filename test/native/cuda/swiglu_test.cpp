// SwiGLU with and without its layer norm, and its gradient, on CUDA against the CPU backend.
#include "backend_pair.h"

namespace eva::test {
namespace {

/// Without `columns` there is no padding.
void both_ways(int64_t rows, int64_t hidden, dtype type, bool norm, int64_t columns = 0) {
  std::mt19937 random(12);
  const std::string what = std::to_string(rows) + " x " + std::to_string(hidden) +
                           (norm ? " with norm, " : ", ") + std::string(to_string(type));
  buffer x(type, {rows, 2 * hidden}, random, 2);
  buffer weight(dtype::f32, {hidden}, random, 1), bias(dtype::f32, {hidden}, random, 1);
  for (int64_t i = columns; columns > 0 && i < hidden; ++i) {
    weight.set(i, 0);
    bias.set(i, 0);
    for (int64_t row = 0; row < 2 * rows; ++row) x.set(row * hidden + i, 0);
  }
  ops::swiglu::args forward;
  forward.x = x;
  forward.columns = columns;
  if (norm) {
    forward.weight = weight;
    forward.bias = bias;
  }
  // Without the norm, mean, rstd, dweight and dbias are unspecified.
  const auto ignored =
      norm ? std::set<std::string>{} : std::set<std::string>{"mean", "rstd", "dweight", "dbias"};
  agree<ops::swiglu>(forward, "swiglu, " + what, {.unspecified = ignored});
  agree<ops::swiglu>(forward, "swiglu, statistics only, " + what, {.unread = {"y"}, .unspecified = ignored});
  agree<ops::swiglu>(forward, "swiglu, y only, " + what, {.unread = {"mean", "rstd"}});

  buffer dy(type, {rows, hidden}, random, 1), mean(dtype::f32, {rows}), rstd(dtype::f32, {rows});
  ops::swiglu::infer(forward);
  forward.mean = mean;
  forward.rstd = rstd;
  run<ops::swiglu>(reference_backend(), forward);
  ops::swiglu_backward::args backward;
  backward.dy = dy;
  backward.x = x;
  backward.columns = columns;
  if (norm) {
    backward.weight = weight;
    backward.bias = bias;
    backward.mean = mean;
    backward.rstd = rstd;
  }
  agree<ops::swiglu_backward>(backward, "swiglu_backward, " + what, {.unspecified = ignored});
  agree<ops::swiglu_backward>(backward, "swiglu_backward, weights only, " + what,
                              {.unread = {"dx", "dx_sums", "y"}, .unspecified = ignored});
  agree<ops::swiglu_backward>(backward, "swiglu_backward, dx only, " + what,
                              {.unread = {"dweight", "dbias", "dx_sums", "y"}});
  agree<ops::swiglu_backward>(backward, "swiglu_backward, y only, " + what,
                              {.unread = {"dx", "dweight", "dbias", "dx_sums"}});
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  using eva::dtype;
  for (const dtype type : {dtype::f32, dtype::bf16})
    for (const bool norm : {false, true}) {
      both_ways(0, 24, type, norm);
      both_ways(1, 8, type, norm);
      both_ways(70, 22, type, norm);
      both_ways(20, 264, type, norm);
      both_ways(7, 2730, type, norm);
    }
  both_ways(2, 4104, dtype::bf16, true);
  both_ways(5, 128, dtype::f32, true, 85);
  both_ways(3, 2752, dtype::bf16, true, 2730);
  return status();
}
