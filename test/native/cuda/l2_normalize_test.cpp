// L2 normalization and its gradient: odd rows, zero rows, unread outputs.
#include "ops/l2_normalize.h"

#include "backend_pair.h"

namespace eva::test {
namespace {

void test_shape(dtype type, const shape& dims) {
  const std::string what = "l2_normalize " + std::string(to_string(type)) + " " + to_string(dims);
  std::mt19937 random(1);
  buffer x(type, dims, random, 1), dy(type, dims, random, 1), y(type, dims);
  buffer norm(dtype::f32, leading(dims));
  for (int64_t j = 0; dims.size() > 1 && j < dims.back() && x.size() > 0; ++j) x.set(j, 0);
  agree<ops::l2_normalize>({.x = x, .y = {}, .norm = {}}, what);
  agree<ops::l2_normalize>({.x = x, .y = {}, .norm = {}}, what + " without norm", {.unread = {"norm"}});
  agree<ops::l2_normalize>({.x = x, .y = {}, .norm = {}}, what + " norm alone", {.unread = {"y"}});
  run<ops::l2_normalize>(reference_backend(), {.x = x, .y = y, .norm = norm, .eps = 0.5f});
  agree<ops::l2_normalize_backward>({.dy = dy, .y = y, .norm = norm, .dx = {}}, what + " backward");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  for (const eva::dtype type : {eva::dtype::f32, eva::dtype::bf16})
    for (const eva::shape& dims :
         std::initializer_list<eva::shape>{{5}, {3, 64}, {2, 3, 77}, {4, 1024}, {2, 2730}, {0, 16}})
      test_shape(type, dims);
  return status();
}
