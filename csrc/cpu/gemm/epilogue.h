#pragma once

#include "cpu/activation.h"
#include "cpu/gemm/gemm_spec.h"

namespace eva::cpu::EVA_CLIP_ISA {

inline vec activate(vec x, ops::activation activation) {
  switch (activation) {
    case ops::activation::gelu:
      return gelu(x);
    case ops::activation::quick_gelu:
      return quick_gelu(x);
    case ops::activation::none:
      return x;
  }
  return x;
}

/// A tile of c and what belongs to it, at the tile's first element.
template <class T> struct result_tile {
  T* c;
  T* pre;
  const T* addend;
  const float* bias;
  int64_t c_stride, addend_stride;
  int rows, columns;
};

/// c = activation(sums [rows, stride] + bias) + addend, or c + sums if `add`.
template <class T>
void store_tile(const result_tile<T>& to, const float* sums, int64_t stride, ops::activation activation,
                bool add) {
  const bool plain = !to.bias && !to.pre && !to.addend && activation == ops::activation::none && !add;
  for (int i = 0; i < to.rows; ++i, sums += stride) {
    const int64_t at = i * to.c_stride;
    sweep(to.columns, [&](int64_t j, auto width) {
      vec x = load(sums + j);
      if (plain) return store(to.c + at + j, x, width);
      if (add) x += load(to.c + at + j, width);
      if (to.bias) x += load(to.bias + j, width);
      if (to.pre) store(to.pre + at + j, x, width);
      x = activate(x, activation);
      if (to.addend) x += load(to.addend + i * to.addend_stride + j, width);
      store(to.c + at + j, x, width);
    });
  }
}

}  // namespace eva::cpu::EVA_CLIP_ISA
