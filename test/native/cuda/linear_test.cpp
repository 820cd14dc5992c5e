// The linear ops: stacked weights, absent biases, activations with and without `pre`, each gradient alone,
// batches.
#include "cuda/linear/linear.h"

#include "backend_pair.h"

namespace {

using namespace eva;
using namespace eva::test;
using ops::activation;

struct problem {
  int64_t rows, inner;
  std::vector<int64_t> outer;  // rows of each weight
  ops::activation act = activation::none;
  bool residual = false, keeps_pre = false, biases = true;
};

const std::vector<problem> problems = {
    {.rows = 1, .inner = 1, .outer = {1}},
    {.rows = 7, .inner = 24, .outer = {33}, .biases = false},
    {.rows = 40, .inner = 32, .outer = {16, 16, 16}},
    {.rows = 9, .inner = 22, .outer = {30, 7}, .residual = true},
    {.rows = 9, .inner = 50, .outer = {71}, .residual = true, .keeps_pre = true},
    {.rows = 5, .inner = 2730, .outer = {24}, .residual = true},
    {.rows = 12, .inner = 40, .outer = {96}, .act = activation::gelu},
    {.rows = 13, .inner = 40, .outer = {95}, .act = activation::quick_gelu},
    {.rows = 12, .inner = 16, .outer = {64}, .act = activation::gelu, .residual = true},
    {.rows = 12, .inner = 16, .outer = {99}, .act = activation::gelu, .residual = true, .keeps_pre = true},
    {.rows = 12, .inner = 16, .outer = {33, 2}, .act = activation::quick_gelu, .keeps_pre = true},
    {.rows = 300, .inner = 8, .outer = {48}}};

std::string describe(const problem& p, dtype type) {
  std::string text = std::string(to_string(type)) + ", " + std::to_string(p.rows) + " rows, " +
                     std::to_string(p.inner) + " ->";
  for (int64_t n : p.outer) text += " " + std::to_string(n);
  return text + ", activation " + std::to_string(int(p.act)) + (p.residual ? ", residual" : "") +
         (p.keeps_pre ? ", pre" : "");
}

void test_problem(const problem& p, dtype type) {
  std::mt19937 random(7);
  int64_t columns = 0;
  std::vector<buffer> weights, biases;
  for (int64_t n : p.outer) {
    weights.emplace_back(type, shape{n, p.inner}, random, 1 / std::sqrt(float(p.inner)));
    biases.emplace_back(dtype::f32, shape{n}, random, 0.5f);
    columns += n;
  }
  buffer x(type, {p.rows, p.inner}, random, 1), dy(type, {p.rows, columns}, random, 1);

  ops::linear::args forward;
  forward.x = x;
  for (buffer& w : weights) forward.weights.push_back(w);
  // The second of three biases is absent, as in EVA-02's q, k, v projections.
  for (size_t i = 0; p.biases && i < biases.size(); ++i)
    forward.biases.push_back(biases.size() == 3 && i == 1 ? tensor{} : tensor(biases[i]));
  if (p.residual) forward.residual = dy;
  forward.act = p.act;
  // CUDA rounds biases, and pre-activations even if `pre` is unread.
  comparison within{.inexactness = p.act == activation::none || p.keeps_pre ? 1.25 : 1.65};
  if (!p.keeps_pre) within.unread = {"pre"};
  agree<ops::linear>(forward, "linear: " + describe(p, type), within);
  if (p.keeps_pre)
    agree<ops::linear>(forward, "linear without y: " + describe(p, type),
                       {.inexactness = 1.25, .unread = {"y"}});

  ops::linear_input_gradient::args input;
  input.dy = dy;
  input.weights = forward.weights;
  agree<ops::linear_input_gradient>(input, "dx: " + describe(p, type));

  ops::linear_weight_gradient::args weight;
  weight.dy = dy;
  weight.x = x;
  for (int64_t n : p.outer) {
    weight.begin = weight.end;
    weight.end += n;
    for (const std::set<std::string>& unread : {std::set<std::string>{}, {"dweight"}, {"dbias"}})
      agree<ops::linear_weight_gradient>(weight, "dweight: " + describe(p, type), {.unread = unread});
  }
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
