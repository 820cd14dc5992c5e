// The linear ops: absent biases, activations with and without `pre`, each gradient alone,
// batches.
#include "cuda/linear/linear.h"

#include "backend_pair.h"

namespace {

using namespace eva;
using namespace eva::test;
using ops::activation;

struct problem {
  int64_t rows, inner, outer;
  ops::activation act = activation::none;
  bool residual = false, keeps_pre = false, bias = true;
};

const std::vector<problem> problems = {
    {.rows = 1, .inner = 1, .outer = 1},
    {.rows = 7, .inner = 24, .outer = 33, .bias = false},
    {.rows = 40, .inner = 32, .outer = 48},
    {.rows = 9, .inner = 22, .outer = 37, .residual = true},
    {.rows = 9, .inner = 50, .outer = 71, .residual = true, .keeps_pre = true},
    {.rows = 5, .inner = 2730, .outer = 24, .residual = true},
    {.rows = 12, .inner = 40, .outer = 96, .act = activation::gelu},
    {.rows = 13, .inner = 40, .outer = 95, .act = activation::quick_gelu},
    {.rows = 12, .inner = 16, .outer = 64, .act = activation::gelu, .residual = true},
    {.rows = 12, .inner = 16, .outer = 99, .act = activation::gelu, .residual = true, .keeps_pre = true},
    {.rows = 12, .inner = 16, .outer = 35, .act = activation::quick_gelu, .keeps_pre = true},
    {.rows = 300, .inner = 8, .outer = 48}};

std::string describe(const problem& p, dtype type) {
  return std::string(to_string(type)) + ", " + std::to_string(p.rows) + " rows, " + std::to_string(p.inner) +
         " -> " + std::to_string(p.outer) + ", activation " + std::to_string(int(p.act)) +
         (p.residual ? ", residual" : "") + (p.keeps_pre ? ", pre" : "");
}

void test_problem(const problem& p, dtype type) {
  std::mt19937 random(7);
  buffer weight(type, {p.outer, p.inner}, random, 1 / std::sqrt(float(p.inner)));
  buffer bias(dtype::f32, {p.outer}, random, 0.5f);
  buffer x(type, {p.rows, p.inner}, random, 1), dy(type, {p.rows, p.outer}, random, 1);

  ops::linear::args forward;
  forward.x = x;
  forward.weight = weight;
  if (p.bias) forward.bias = bias;
  if (p.residual) forward.residual = dy;
  forward.act = p.act;
  // CUDA rounds biases, and pre-activations before it applies activation and residual, as the CPU does not.
  comparison within{.inexactness = p.act == activation::none && !p.keeps_pre ? 1.25 : 1.65};
  if (!p.keeps_pre) within.unread = {"pre"};
  agree<ops::linear>(forward, "linear: " + describe(p, type), within);
  if (p.keeps_pre)
    agree<ops::linear>(forward, "linear without y: " + describe(p, type),
                       {.inexactness = 1.25, .unread = {"y"}});

  ops::linear_input_gradient::args input;
  input.dy = dy;
  input.weight = weight;
  agree<ops::linear_input_gradient>(input, "dx: " + describe(p, type));

  ops::linear_weight_gradient::args parameters;
  parameters.dy = dy;
  parameters.x = x;
  for (const std::set<std::string>& unread :
       std::initializer_list<std::set<std::string>>{{}, {"dweight"}, {"dbias"}})
    agree<ops::linear_weight_gradient>(parameters, "dweight: " + describe(p, type), {.unread = unread});
}

void test_matmul(dtype type, const shape& batch, bool transpose_a, bool transpose_b) {
  const int64_t m = 5, n = 37, k = 19;
  std::mt19937 random(3);
  const auto dims = [&](int64_t rows, int64_t columns, bool exchanged) {
    return exchanged ? append(append(batch, columns), rows) : append(append(batch, rows), columns);
  };
  buffer a(type, dims(m, k, transpose_a), random, 1), b(type, dims(k, n, transpose_b), random, 1);
  ops::matmul::args args;
  args.a = a;
  args.b = b;
  args.transpose_a = transpose_a;
  args.transpose_b = transpose_b;
  agree<ops::matmul>(args, "matmul " + std::string(to_string(type)) + " " + to_string(args.a.dims));
}

}  // namespace

int main() {
  for (dtype type : {dtype::f32, dtype::bf16}) {
    for (const problem& p : problems) test_problem(p, type);
    for (const shape& batch : {shape{}, shape{3}, shape{2, 2}})
      for (int transposes = 0; transposes < 4; ++transposes)
        test_matmul(type, batch, transposes & 1, transposes & 2);
  }
  return status();
}
