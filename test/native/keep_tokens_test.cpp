// Patch dropout and stochastic depth against the definitions in ops/keep_tokens.h.
#include "ops/keep_tokens.h"

#include <algorithm>

#include "core/philox.h"
#include "op_test.h"

namespace eva::test {
namespace {

std::vector<int32_t> keep(backend& on, std::vector<int32_t> seed, int64_t batch, int64_t tokens,
                          int64_t kept) {
  std::vector<int32_t> result(size_t(batch * kept), -1);
  run<ops::keep_tokens>(on, {view(seed, {2}), view(result, {batch, kept}), batch, tokens, kept});
  return result;
}

void test_keep(backend& on, int64_t batch, int64_t tokens, int64_t kept, const std::string& isa) {
  const std::string what = std::to_string(kept) + " of " + std::to_string(tokens) + ", " + isa;
  const std::vector<int32_t> result = keep(on, {7, 3}, batch, tokens, kept);
  std::vector<int32_t> expected;
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<std::pair<uint32_t, int32_t>> keys;
    for (uint32_t p = 0; p < uint32_t(tokens); ++p)
      keys.emplace_back(philox({p / 4, uint32_t(b), 3, 0}, {7, 0x6b656570})[p % 4], int32_t(p));
    std::sort(keys.begin(), keys.end());
    std::vector<int32_t> chosen;
    for (int64_t i = 0; i < kept; ++i) chosen.push_back(keys[size_t(i)].second);
    std::sort(chosen.begin(), chosen.end());
    expected.insert(expected.end(), chosen.begin(), chosen.end());
  }
  check(result == expected, "keep_tokens " + what);
  if (kept < tokens && tokens > 4)
    check(keep(on, {7, 4}, batch, tokens, kept) != result, "keep_tokens of another step, " + what);
}

void test_drop_path(backend& on, dtype type, bool with_residual, const std::string& isa) {
  const int64_t samples = 64, size = 35, stream = 5;
  const float rate = 0.3f;
  std::mt19937 random(1);
  std::vector<int32_t> seed{11, 2};
  buffer x(type, {samples, size}, random, 1), residual(type, {samples, size}, random, 1);
  buffer y(type, {samples, size});
  run<ops::drop_path>(on, {x, view(seed, {2}), with_residual ? tensor(residual) : tensor{}, y, rate, stream});
  std::vector<double> expected;
  int dropped = 0;
  for (int64_t b = 0; b < samples; ++b) {
    const uint32_t word = philox({uint32_t(stream), uint32_t(b), 2, 0}, {11, 0x70617468})[0];
    const bool drop = double(word) / 4294967296.0 < double(rate);
    dropped += drop;
    for (int64_t i = b * size; i < (b + 1) * size; ++i)
      expected.push_back((drop ? 0 : x[i] / (1.0 - double(rate))) + (with_residual ? residual[i] : 0));
  }
  check(dropped > 0 && dropped < samples, "drop_path drops some samples");
  check(relative_error(y, expected) < tolerance(type), "drop_path, " + isa);
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    test_keep(on, 1, 1, 1, isa);
    test_keep(on, 40, 49, 24, isa);
    test_keep(on, 9, 257, 256, isa);
    test_keep(on, 3, 36, 36, isa);
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
      for (const bool residual : {false, true}) test_drop_path(on, type, residual, isa);
  });
}
