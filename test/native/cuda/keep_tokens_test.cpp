// Patch dropout: the same patches as on the CPU, for small, odd and very large images; stochastic depth.
#include "ops/keep_tokens.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

void test_keep(int64_t batch, int64_t tokens, int64_t keep) {
  for (int32_t step : {0, 77}) {
    std::vector<int32_t> seed{1234567, step};
    agree<ops::keep_tokens>(
        {.seed = view(seed, {2}), .kept = {}, .batch = batch, .tokens = tokens, .keep = keep},
        "keep_tokens " + std::to_string(keep) + " of " + std::to_string(tokens));
  }
}

void test_drop_path(dtype type, const shape& dims) {
  std::mt19937 random(1);
  std::vector<int32_t> seed{5, 9};
  buffer x(type, dims, random, 1), residual(type, dims, random, 1);
  for (const float rate : {0.0f, 0.4f, 0.95f})
    for (const bool with_residual : {false, true}) {
      ops::drop_path::args a{
          .x = x, .seed = view(seed, {2}), .residual = {}, .y = {}, .rate = rate, .stream = 3};
      if (with_residual) a.residual = residual;
      agree<ops::drop_path>(a, "drop_path " + std::to_string(rate) + " of " + to_string(dims));
    }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  for (const auto& [batch, tokens, keep] : std::initializer_list<std::array<int64_t, 3>>{
           {3, 1, 1}, {2, 5, 2}, {5, 196, 98}, {3, 256, 256}, {2, 257, 1}, {1, 13001, 6000}})
    test_keep(batch, tokens, keep);
  for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
    for (const eva::shape& dims : std::initializer_list<eva::shape>{{9}, {7, 3, 5}, {6, 2, 16}, {0, 8}})
      test_drop_path(type, dims);
  return status();
}
