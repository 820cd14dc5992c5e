// Sums, expand and the softmax family: one column, odd columns, rows longer than a block.
#include "ops/reduce.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

const std::vector<shape> shapes{{1}, {7}, {3, 8}, {2, 3, 45}, {5, 1}, {2, 2600}, {300, 24}, {0, 4}};

void test_sums(dtype type) {
  for (const shape& dims : shapes) {
    std::mt19937 random(1);
    buffer x(type, dims, random, 1);
    const std::string what = " of " + std::string(to_string(type)) + " " + to_string(dims);
    agree<ops::sum_last>({.x = x, .y = {}}, "sum_last" + what);
    for (int64_t kept = 0; kept <= int64_t(dims.size()); ++kept)
      agree<ops::sum_leading>({.x = x, .y = {}, .kept = kept},
                              "sum_leading but " + std::to_string(kept) + what);
  }
}

/// A sum over several blocks.
void test_long_sum(dtype type, int64_t count) {
  std::mt19937 random(1);
  buffer x(type, {count}, random, 1);
  agree<ops::sum_leading>({.x = x, .y = {}, .kept = 0}, "sum of " + std::to_string(count));
}

void test_expand(dtype type) {
  for (const auto& [dims, like, last] :
       std::initializer_list<std::tuple<shape, shape, bool>>{{{}, {3, 7}, false},
                                                             {{1}, {9, 1}, false},
                                                             {{16}, {3, 16}, false},
                                                             {{3, 5}, {2, 3, 5}, false},
                                                             {{}, {11}, true},
                                                             {{3}, {3, 16}, true},
                                                             {{2, 3}, {2, 3, 5}, true},
                                                             {{4}, {4, 1}, true},
                                                             {{}, {0, 2}, false}}) {
    std::mt19937 random(1);
    buffer x(type, dims, random, 1), shaped(dtype::f32, like);
    agree<ops::expand>({.x = x, .like = shaped, .y = {}, .last = last},
                       "expand " + to_string(dims) + " to " + to_string(like), {.f32 = 0, .bf16 = 0});
  }
}

template <class Op> void test_softmax(dtype type) {
  for (const shape& dims : shapes) {
    std::mt19937 random(1);
    buffer x(type, dims, random, 3);
    agree<Op>({.x = x, .y = {}}, std::string(Op::name) + " " + to_string(dims));
  }
}

template <class Op, class Forward> void test_gradient(dtype type) {
  for (const shape& dims : shapes) {
    std::mt19937 random(1);
    buffer x(type, dims, random, 2), dy(type, dims, random, 1), y(type, dims);
    run<Forward>(reference_backend(), {.x = x, .y = y});
    // With one column the gradient is zero up to the rounding of y.
    if (y.size() > 0 && dims.back() > 1)
      agree<Op>({.dy = dy, .y = y, .dx = {}}, std::string(Op::name) + " " + to_string(dims));
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva;
  using namespace eva::test;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    test_sums(type);
    test_long_sum(type, 70000);
    test_long_sum(type, 131077);
    test_expand(type);
    test_softmax<ops::softmax>(type);
    test_softmax<ops::log_softmax>(type);
    test_gradient<ops::softmax_backward, ops::softmax>(type);
    test_gradient<ops::log_softmax_backward, ops::log_softmax>(type);
  }
  return status();
}
