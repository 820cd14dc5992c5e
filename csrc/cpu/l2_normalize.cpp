#include "ops/l2_normalize.h"

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr int64_t grain_rows = 32;

template <class T> float dot(const T* a, const T* b, int64_t count) {
  return sum_over(count, [&](int64_t i, auto width) { return load(a + i, width) * load(b + i, width); });
}

template <class T> void normalize(const ops::l2_normalize::args& a, const context& c) {
  const int64_t columns = a.x.columns();
  parallel_for(c, a.x.rows(), grain_rows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = a.x.as<T>() + row * columns;
      const float norm = std::max(std::sqrt(dot(x, x, columns)), a.eps);
      if (a.norm.data) a.norm.as<float>()[row] = norm;
      if (a.y.data == nullptr) continue;
      T* y = a.y.as<T>() + row * columns;
      sweep(columns, [&](int64_t i, auto width) { store(y + i, load(x + i, width) / norm, width); });
    }
  });
}

template <class T> void normalize_backward(const ops::l2_normalize_backward::args& a, const context& c) {
  const int64_t columns = a.dy.columns();
  parallel_for(c, a.dy.rows(), grain_rows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* y = a.y.as<T>() + row * columns;
      const T* dy = a.dy.as<T>() + row * columns;
      T* dx = a.dx.as<T>() + row * columns;
      const float along = dot(dy, y, columns), norm = a.norm.as<float>()[row];
      sweep(columns, [&](int64_t i, auto width) {
        store(dx + i, (load(dy + i, width) - load(y + i, width) * along) / norm, width);
      });
    }
  });
}

}  // namespace

template <> void run<ops::l2_normalize>(const ops::l2_normalize::args& a, context& c) {
  a.x.type == dtype::f32 ? normalize<float>(a, c) : normalize<bf16>(a, c);
}

template <> void run<ops::l2_normalize_backward>(const ops::l2_normalize_backward::args& a, context& c) {
  a.dy.type == dtype::f32 ? normalize_backward<float>(a, c) : normalize_backward<bf16>(a, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
