// Token and position embedding of packed sequences, with empty sequences and padding, and its gradient.
#include "ops/embedding.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

struct text_batch {
  int64_t vocabulary, context_length, columns;
  std::vector<int32_t> cu_seqlens, tokens;

  text_batch(int64_t v, int64_t l, int64_t c, const std::vector<int32_t>& lengths, int64_t padding)
      : vocabulary(v), context_length(l), columns(c), cu_seqlens{0} {
    std::mt19937 random(3);
    for (const int32_t length : lengths) cu_seqlens.push_back(cu_seqlens.back() + length);
    for (int32_t t = 0; t < cu_seqlens.back(); ++t) tokens.push_back(int32_t(random() % uint64_t(v)));
    // All sequences begin with the start-of-text token.
    for (const int32_t begin : cu_seqlens)
      if (begin < cu_seqlens.back()) tokens[size_t(begin)] = int32_t(v - 2);
    tokens.insert(tokens.end(), size_t(padding), -1);
  }
};

void test_batch(text_batch text, dtype table_type, dtype type) {
  const std::string what = "embedding of " + std::to_string(text.vocabulary) + " × " +
                           std::to_string(text.columns) + " " + std::string(to_string(type));
  std::mt19937 random(4);
  const int64_t count = int64_t(text.tokens.size());
  const tensor tokens = view(text.tokens, {count});
  const tensor cu_seqlens = view(text.cu_seqlens, {int64_t(text.cu_seqlens.size())});
  buffer table(table_type, {text.vocabulary, text.columns}, random, 1);
  buffer positions(dtype::f32, {text.context_length, text.columns}, random, 1);
  buffer dy(type, {count, text.columns}, random, 1);
  agree<ops::embedding>({.tokens = tokens,
                         .cu_seqlens = cu_seqlens,
                         .table = table,
                         .positions = positions,
                         .y = {},
                         .type = type},
                        what, {.f32 = 0, .bf16 = 0});
  const ops::embedding_backward::args backward{.dy = dy,
                                               .tokens = tokens,
                                               .cu_seqlens = cu_seqlens,
                                               .table = table,
                                               .positions = positions,
                                               .dtable = {},
                                               .dpositions = {}};
  agree<ops::embedding_backward>(backward, what + " backward", {.f32 = 1e-6});
  agree<ops::embedding_backward>(backward, what + " backward, table",
                                 {.f32 = 1e-6, .unread = {"dpositions"}});
  agree<ops::embedding_backward>(backward, what + " backward, positions",
                                 {.f32 = 1e-6, .unread = {"dtable"}});
}

/// Ids and positions out of range give NaN and no gradient, without accesses out of bounds.
void test_outside() {
  std::vector<int32_t> tokens{1, 4, 2, -4, 0}, cu_seqlens{0, 3, 700};
  buffer table(dtype::f32, {4, 3}, 1), positions(dtype::f32, {2, 3}, 1), y(dtype::f32, {5, 3});
  buffer dtable(dtype::f32, {4, 3}), dpositions(dtype::f32, {2, 3});
  cuda::run<ops::embedding>({.tokens = view(tokens, {5}),
                             .cu_seqlens = view(cu_seqlens, {3}),
                             .table = table,
                             .positions = positions,
                             .y = y},
                            device_context());
  cuda::run<ops::embedding_backward>({.dy = y,
                                      .tokens = view(tokens, {5}),
                                      .cu_seqlens = view(cu_seqlens, {3}),
                                      .table = table,
                                      .positions = positions,
                                      .dtable = dtable,
                                      .dpositions = dpositions},
                                     device_context());
  cuda::device::synchronize(device_context().stream);
  const bool outside[] = {false, true, true, true, false};
  for (int64_t i = 0; i < 15; ++i) check(std::isnan(y[i]) == outside[i / 3], "embedding outside");
  check(dtable[3] == 2 && dtable[9] == 0, "embedding_backward outside");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  using eva::dtype;
  for (const dtype type : {dtype::f32, dtype::bf16})
    for (const dtype table : {dtype::f32, dtype::bf16}) {
      test_batch({11, 6, 24, {3, 6, 0, 1, 5}, 4}, table, type);
      test_batch({50, 9, 45, {9, 2, 7}, 0}, table, type);
    }
  test_batch({3000, 4, 36, {4, 4, 1, 3, 4, 2, 4, 4, 4, 4, 4, 4}, 1}, dtype::bf16, dtype::bf16);
  // Several blocks sort the items, and destinations have more than a warp adds up.
  test_batch({600, 64, 16, std::vector<int32_t>(45, 60), 3}, dtype::f32, dtype::bf16);
  test_outside();
  return status();
}
