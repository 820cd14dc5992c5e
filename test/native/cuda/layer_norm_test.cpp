// Layer norm and its gradient on CUDA against the CPU backend.
#include "backend_pair.h"

namespace eva::test {
namespace {

void both_ways(int64_t rows, int64_t columns, dtype type, bool residual) {
  std::mt19937 random(11);
  const std::string what = std::to_string(rows) + " x " + std::to_string(columns) +
                           (residual ? " with residual, " : ", ") + std::string(to_string(type));
  buffer x(type, {rows, columns}, random, 2), added(type, {rows, columns}, random, 1);
  buffer weight(dtype::f32, {columns}, random, 1), bias(dtype::f32, {columns}, random, 1);
  ops::layer_norm::args forward;
  forward.x = x;
  forward.weight = weight;
  forward.bias = bias;
  if (residual) forward.residual = added;
  agree<ops::layer_norm>(forward, "layer_norm, " + what);
  agree<ops::layer_norm>(forward, "layer_norm, statistics only, " + what, {.unread = {"y"}});
  agree<ops::layer_norm>(forward, "layer_norm, y only, " + what, {.unread = {"mean", "rstd"}});

  buffer dy(type, {rows, columns}, random, 1), mean(dtype::f32, {rows}), rstd(dtype::f32, {rows});
  ops::layer_norm::infer(forward);
  forward.mean = mean;
  forward.rstd = rstd;
  run<ops::layer_norm>(reference_backend(), forward);
  ops::layer_norm_backward::args backward;
  backward.dy = dy;
  backward.x = x;
  backward.weight = weight;
  backward.bias = bias;
  backward.mean = mean;
  backward.rstd = rstd;
  if (residual) backward.residual = added;
  agree<ops::layer_norm_backward>(backward, "layer_norm_backward, " + what);
  agree<ops::layer_norm_backward>(backward, "layer_norm_backward, weights only, " + what,
                                  {.unread = {"dx", "dx_sums", "y"}});
  agree<ops::layer_norm_backward>(backward, "layer_norm_backward, dx only, " + what,
                                  {.unread = {"dweight", "dbias", "dx_sums", "y"}});
}

/// RMS norm, with rows whose means are far from zero.
void rms_norm(int64_t rows, int64_t columns, dtype type) {
  std::mt19937 random(12);
  const std::string what =
      std::to_string(rows) + " x " + std::to_string(columns) + ", " + std::string(to_string(type));
  buffer x(type, {rows, columns}, random, 1), weight(dtype::f32, {columns}, random, 1);
  for (int64_t i = 0; i < rows * columns; ++i) x.set(i, x[i] + 3);
  ops::layer_norm::args forward;
  forward.x = x;
  forward.weight = weight;
  forward.centered = false;
  agree<ops::layer_norm>(forward, "RMS norm, " + what);

  buffer dy(type, {rows, columns}, random, 1), rstd(dtype::f32, {rows});
  ops::layer_norm::infer(forward);
  forward.rstd = rstd;
  run<ops::layer_norm>(reference_backend(), forward);
  ops::layer_norm_backward::args backward;
  backward.dy = dy;
  backward.x = x;
  backward.weight = weight;
  backward.rstd = rstd;
  agree<ops::layer_norm_backward>(backward, "RMS norm's gradient, " + what, {.unread = {"dbias"}});
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  using eva::dtype;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    both_ways(0, 24, type, false);
    both_ways(1, 8, type, false);
    both_ways(70, 22, type, true);
    both_ways(40, 264, type, true);
    both_ways(13, 768, type, true);
    both_ways(7, 1018, type, false);
    both_ways(3, 2730, type, true);
    both_ways(2, 4104, type, false);
    rms_norm(9, 40, type);
    rms_norm(4, 33, type);
  }
  return status();
}
