// Packed embedding, its gradients, and its errors for invalid tokens.
#include "ops/embedding.h"

#include "op_test.h"

namespace eva::test {
namespace {

constexpr int64_t vocabulary = 11, context_length = 5, columns = 37;

struct packed_text {
  std::vector<int32_t> tokens{3, 10, 0, 3, 3, 7, 3, 99, -5};  // the last two are padding and never read
  std::vector<int32_t> starts{0, 3, 3, 7};

  tensor token_view() { return view(tokens, {int64_t(tokens.size())}); }
  tensor start_view() { return view(starts, {int64_t(starts.size())}); }
  int64_t real() const { return starts.back(); }
  /// The index of token t in its sequence.
  int64_t place(int64_t t) const { return t < starts[1] ? t : t - starts[2]; }
};

void test_forward(backend& on, dtype table_type, dtype type, const std::string& isa) {
  std::mt19937 random(1);
  packed_text text;
  buffer table(table_type, {vocabulary, columns}, random, 1);
  buffer positions(dtype::f32, {context_length, columns}, random, 1), y(type, {9, columns}, 4);
  run<ops::embedding>(on, {text.token_view(), text.start_view(), table, positions, y, type});
  std::vector<double> expected(size_t(y.size()));
  for (int64_t i = 0; i < text.real() * columns; ++i) {
    const int64_t t = i / columns, column = i % columns;
    expected[size_t(i)] = double(table[text.tokens[size_t(t)] * columns + column]) +
                          positions[text.place(t) * columns + column];
  }
  check(relative_error(y, expected) < tolerance(type), "embedding, " + isa);
}

void test_backward(backend& on, dtype type, const std::string& isa) {
  std::mt19937 random(2);
  packed_text text;
  buffer dy(type, {9, columns}, random, 1), table(dtype::f32, {vocabulary, columns});
  buffer positions(dtype::f32, {context_length, columns}), dtable(dtype::f32, {vocabulary, columns}, 6);
  buffer dpositions(dtype::f32, {context_length, columns}, 6);
  run<ops::embedding_backward>(
      on, {dy, text.token_view(), text.start_view(), table, positions, dtable, dpositions});
  std::vector<double> by_token(size_t(dtable.size())), by_place(size_t(dpositions.size()));
  for (int64_t i = 0; i < text.real() * columns; ++i) {
    const int64_t t = i / columns, column = i % columns;
    by_token[size_t(text.tokens[size_t(t)] * columns + column)] += dy[i];
    by_place[size_t(text.place(t) * columns + column)] += dy[i];
  }
  check(relative_error(dtable, by_token) < 1e-6, "embedding dtable, " + isa);
  check(relative_error(dpositions, by_place) < 1e-6, "embedding dpositions, " + isa);
}

/// The error message after `change` to valid input.
std::string complaint(backend& on, const std::function<void(packed_text&)>& change) {
  packed_text text;
  change(text);
  buffer table(dtype::f32, {vocabulary, columns}), positions(dtype::f32, {context_length, columns});
  buffer y(dtype::f32, {9, columns});
  try {
    run<ops::embedding>(on, {text.token_view(), text.start_view(), table, positions, y, dtype::f32});
  } catch (const data_error& e) {
    return e.what();
  }
  return "nothing";
}

void test_complaints(backend& on, const std::string& isa) {
  const auto expect_words = [&](const std::string& message, std::initializer_list<const char*> words) {
    for (const char* word : words)
      check(message.find(word) != std::string::npos,
            std::string("'") + word + "' is missing from '" + message + "', " + isa);
  };
  expect_words(complaint(on, [](packed_text& text) { text.tokens[5] = 11; }), {"token 5", "is 11", "has 11"});
  expect_words(complaint(on, [](packed_text& text) { text.tokens[0] = -2; }), {"token 0", "is -2"});
  expect_words(complaint(on,
                         [](packed_text& text) {
                           text.starts = {0, 0, 0, 6};
                         }),
               {"sequence 2", "6", "5"});
  expect_words(complaint(on, [](packed_text& text) { text.starts = {0, 4, 3, 7}; }), {"cu_seqlens[2]"});
  expect_words(complaint(on, [](packed_text& text) { text.starts = {0, 4, 7, 10}; }), {"cu_seqlens[3]", "9"});
  expect_words(complaint(on, [](packed_text& text) { text.starts = {1, 4, 5, 6}; }), {"cu_seqlens[0]"});
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  return on_each_instruction_set(2, [](eva::backend& on, const std::string& isa) {
    for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16}) {
      for (const eva::dtype table : {eva::dtype::f32, eva::dtype::bf16}) test_forward(on, table, type, isa);
      test_backward(on, type, isa);
    }
    test_complaints(on, isa);
  });
}
