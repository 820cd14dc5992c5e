#pragma once
// Vectorized access to f32 and bf16 elements, as groups of f32 values; all arithmetic is f32.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/tensor.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/thread.cuh"
#include "cuda/element_type.h"

namespace eva::cuda {

/// The adjacent elements that a thread processes at once if alignment allows it: 16 bytes of bf16, 32 of f32.
inline constexpr int group = 8;

template <int Width> using width = std::integral_constant<int, Width>;

/// for_element_type for two tensors.
template <class Body> void for_element_types(dtype first, dtype second, const Body& body) {
  for_element_type(first,
                   [&]<class A>(A* a) { for_element_type(second, [&]<class B>(B* b) { body(a, b); }); });
}

/// Calls body with width<Wide>, or with width<1> if rows are not aligned for that.
template <int Wide = group, class Body> void for_width(bool aligned, const Body& body) {
  aligned ? body(width<Wide>{}) : body(width<1>{});
}

/// Whether these tensors start at multiples of 16 bytes; null (unread) outputs count as aligned.
template <class... Tensors> bool aligned(const Tensors&... all) {
  return ((reinterpret_cast<uintptr_t>(all.data) % 16 == 0) && ...);
}

/// The grid size for `items`, up to a limit; beyond it, kernels loop with a grid stride.
inline int blocks_of(int64_t items, int64_t items_per_block) {
  constexpr int64_t max_blocks = 1 << 24;
  return int(std::min(max_blocks, (items + items_per_block - 1) / items_per_block));
}

struct alignas(16) float_quad {
  float values[4];
};
struct alignas(8) bf16_quad {
  uint32_t words[2];
};

/// Loads Width elements; `from` is aligned to their size, up to 16 bytes.
template <int Width> __device__ void load_elements(const float* from, float (&x)[Width]) {
  if constexpr (Width % 4 == 0) {
#pragma unroll
    for (int i = 0; i < Width; i += 4) {
      const float_quad quad = *reinterpret_cast<const float_quad*>(from + i);
      for (int j = 0; j < 4; ++j) x[i + j] = quad.values[j];
    }
  } else {
    for (int i = 0; i < Width; ++i) x[i] = from[i];
  }
}

template <int Words, int Width>
__device__ void unpack_words(const uint32_t (&words)[Words], float (&x)[Width]) {
  static_assert(2 * Words == Width);
#pragma unroll
  for (int i = 0; i < Words; ++i) {
    const device::pair two = device::unpack_bf16(words[i]);
    x[2 * i] = two.first;
    x[2 * i + 1] = two.second;
  }
}

template <int Width> __device__ void load_elements(const device::bf16* from, float (&x)[Width]) {
  if constexpr (Width == 8) {
    unpack_words(device::load_16(from).words, x);
  } else if constexpr (Width == 4) {
    unpack_words(reinterpret_cast<const bf16_quad*>(from)->words, x);
  } else {
    for (int i = 0; i < Width; ++i) x[i] = device::to_float(from[i]);
  }
}

template <int Width> __device__ void store_elements(float* to, const float (&x)[Width]) {
  if constexpr (Width % 4 == 0) {
#pragma unroll
    for (int i = 0; i < Width; i += 4)
      *reinterpret_cast<float_quad*>(to + i) = {{x[i], x[i + 1], x[i + 2], x[i + 3]}};
  } else {
    for (int i = 0; i < Width; ++i) to[i] = x[i];
  }
}

template <int Width> __device__ void store_elements(device::bf16* to, const float (&x)[Width]) {
  if constexpr (Width == 8) {
    device::store_16(to, {{device::pack_bf16(x[0], x[1]), device::pack_bf16(x[2], x[3]),
                           device::pack_bf16(x[4], x[5]), device::pack_bf16(x[6], x[7])}});
  } else if constexpr (Width == 4) {
    *reinterpret_cast<bf16_quad*>(to) = {{device::pack_bf16(x[0], x[1]), device::pack_bf16(x[2], x[3])}};
  } else if constexpr (Width == 2) {
    device::store_4(to, device::pack_bf16(x[0], x[1]));
  } else {
    for (int i = 0; i < Width; ++i) to[i] = device::to_bf16(x[i]);
  }
}

/// A grid-stride loop over groups: calls body(i, width) for this thread's groups of 0 … count - 1. Elements
/// after the last whole group are passed one at a time, and all are if `grouped` is false.
template <int Width, class Body>
__device__ void for_groups(int64_t count, const Body& body, bool grouped = true) {
  const int64_t stride = int64_t(device::grid_blocks()) * device::block_threads() * Width;
  int64_t i = (int64_t(device::block_index()) * device::block_threads() + device::thread_index()) * Width;
  for (; i < count; i += stride) {
    if (grouped && i + Width <= count)
      body(i, width<Width>{});
    else
      for (int64_t single = i; single < i + Width && single < count; ++single) body(single, width<1>{});
  }
}

/// A block-stride loop over the groups of a row: calls body(i) for this thread's groups. Width divides
/// columns.
template <int Width, class Body> __device__ void for_groups_of_row(int64_t columns, const Body& body) {
  for (int64_t i = int64_t(device::thread_index()) * Width; i < columns; i += device::block_threads() * Width)
    body(i);
}

/// The threads of a block that processes a row: one per group, rounded up to whole warps.
inline int threads_of_row(int64_t columns, int max_threads = 256) {
  const int64_t groups = (columns + group - 1) / group, lanes = device::warp_size;
  return int(std::clamp((groups + lanes - 1) / lanes * lanes, lanes, int64_t(max_threads)));
}

}  // namespace eva::cuda
