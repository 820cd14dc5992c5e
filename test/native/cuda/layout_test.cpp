// Ops that rearrange rows: every word size, odd sizes, repeated and invalid indices.
#include "ops/layout.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

/// A tensor of random bytes that are finite in every type, in memory of exactly its size.
class any_tensor {
 public:
  any_tensor(dtype type, const shape& dims)
      : type_(type), dims_(dims), words_(size_t(element_count(dims) * size_of(type))) {
    std::mt19937 random(1);
    for (size_t i = 0; i < words_.size(); ++i) words_[i] = uint8_t(random() % 0x3f);
  }
  operator tensor() { return {type_, dims_, words_.data()}; }

 private:
  dtype type_;
  shape dims_;
  std::vector<uint8_t> words_;
};

const comparison exact{.f32 = 0, .bf16 = 0};

void test_moves(dtype type) {
  const std::string what = " of " + std::string(to_string(type));
  for (const shape& dims : std::initializer_list<shape>{{1, 1}, {3, 33, 70}, {64, 32}, {5, 129}, {0, 4}}) {
    any_tensor x(type, dims);
    agree<ops::transpose>({.x = x, .y = {}}, "transpose" + what + " " + to_string(dims), exact);
  }
  any_tensor a(type, {2, 5}), b(type, {3, 5}), none(type, {0, 5}), wide(type, {4, 32});
  agree<ops::concat>({.xs = {a, none, b}, .y = {}}, "concat" + what, exact);
  agree<ops::concat>({.xs = {wide, wide}, .y = {}}, "concat of wide rows" + what, exact);
  agree<ops::slice>({.x = b, .y = {}, .begin = 1, .end = 3}, "slice" + what, exact);
  agree<ops::slice>({.x = wide, .y = {}, .begin = 2, .end = 4}, "slice of wide rows" + what, exact);
  agree<ops::slice>({.x = wide, .y = {}, .begin = 2, .end = 2}, "slice of nothing" + what, exact);
  agree<ops::pad>({.x = b, .y = {}, .begin = 1, .rows = 6}, "pad" + what, exact);
  agree<ops::pad>({.x = wide, .y = {}, .begin = 0, .rows = 5}, "pad of wide rows" + what, exact);
  agree<ops::pad>({.x = none, .y = {}, .begin = 1, .rows = 2}, "pad of nothing" + what, exact);
}

void test_rows(dtype type, int64_t columns) {
  const std::string what = " " + std::string(to_string(type)) + " " + std::to_string(columns);
  std::mt19937 random(2);
  buffer x(type, {2, 20, columns}, random, 1), dy(type, {7, columns}, random, 1);
  std::vector<int32_t> index{3, 39, 0, 17, 1, 12, 38}, repeated{3, 39, 3, 0, 3, 39, 3};
  agree<ops::gather_rows>({.x = x, .index = view(repeated, {7}), .y = {}}, "gather_rows" + what, exact);
  agree<ops::gather_rows_backward>({.dy = dy, .index = view(index, {7}), .like = x, .dx = {}},
                                   "gather_rows_backward" + what, exact);
  // The CPU rounds to bf16 after each addition to a row.
  agree<ops::gather_rows_backward>({.dy = dy, .index = view(repeated, {7}), .like = x, .dx = {}},
                                   "gather_rows_backward, repeated" + what);
  buffer tall(type, {2500, columns}, random, 1);
  std::vector<int32_t> far{2499, 5, 31, 32, 64, 2048, 5};
  agree<ops::gather_rows_backward>({.dy = dy, .index = view(far, {7}), .like = tall, .dx = {}},
                                   "gather_rows_backward of many rows" + what);

  buffer pooled(type, {2, columns}, random, 1);
  for (const int64_t begin : {0, 1, 19}) {
    agree<ops::mean_tokens>({.x = x, .y = {}, .begin = begin}, "mean_tokens" + what);
    agree<ops::mean_tokens_backward>({.dy = pooled, .like = x, .dx = {}, .begin = begin},
                                     "mean_tokens_backward" + what);
  }
}

/// An index out of range gives NaN and no gradient: a captured program cannot throw.
void test_outside() {
  std::mt19937 random(2);
  buffer x(dtype::bf16, {3, 5}, random, 1), y(dtype::bf16, {3, 5}), dx(dtype::bf16, {3, 5}, 7);
  std::vector<int32_t> index{1, -1, 3};
  cuda::run<ops::gather_rows>({.x = x, .index = view(index, {3}), .y = y}, device_context());
  cuda::run<ops::gather_rows_backward>({.dy = x, .index = view(index, {3}), .like = x, .dx = dx},
                                       device_context());
  cuda::device::synchronize(device_context().stream);
  for (int64_t j = 0; j < 5; ++j) {
    check(y[j] == x[5 + j] && std::isnan(y[5 + j]) && std::isnan(y[10 + j]), "gather_rows outside");
    check(dx[j] == 0 && dx[5 + j] == x[j] && dx[10 + j] == 0, "gather_rows_backward outside");
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16, eva::dtype::u8}) test_moves(type);
  for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
    for (const int64_t columns : {1, 24, 150}) test_rows(type, columns);
  test_outside();
  return status();
}
