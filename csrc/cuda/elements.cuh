#pragma once
// Elements of either float type as groups of f32 values, in which all arithmetic is done.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/tensor.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/thread.cuh"
#include "cuda/element_type.h"

namespace eva::cuda {

/// Neighbours that a thread takes at once where alignment allows it: 16 bytes of bf16, 32 of f32.
inline constexpr int group = 8;

template <int Width> using width = std::integral_constant<int, Width>;

/// for_element_type of two tensors.
template <class Body> void for_element_types(dtype first, dtype second, const Body& body) {
  for_element_type(first,
                   [&]<class A>(A* a) { for_element_type(second, [&]<class B>(B* b) { body(a, b); }); });
}

/// Calls body with width<Wide> or, where rows are not aligned for that, with width<1>.
template <int Wide = group, class Body> void for_width(bool aligned, const Body& body) {
  aligned ? body(width<Wide>{}) : body(width<1>{});
}

/// Whether these tensors start at multiples of 16 bytes; those that nobody reads do.
template <class... Tensors> bool aligned(const Tensors&... all) {
  return ((reinterpret_cast<uintptr_t>(all.data) % 16 == 0) && ...);
}

/// Blocks of so many items each; kernels that stride over the grid go on where there are more.
inline int blocks_of(int64_t items, int64_t items_per_block) {
  constexpr int64_t most = 1 << 24;
  return int(std::min(most, (items + items_per_block - 1) / items_per_block));
}

struct alignas(16) float_quad {
  float values[4];
};
struct alignas(8) bf16_quad {
  uint32_t words[2];
};

// Width elements from `from`, which is aligned to as many bytes, 16 at most.
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
  } else {
    for (int i = 0; i < Width; ++i) to[i] = device::to_bf16(x[i]);
  }
}

/// Calls body(i, width) for the groups of 0 … count-1 that are this thread's, one thread of the whole grid;
/// elements behind the last whole group come one by one, and so do all where memory is not aligned.
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

/// Calls body(i) for the groups of a row that are this thread's, one of the block. Width divides columns.
template <int Width, class Body> __device__ void for_groups_of_row(int64_t columns, const Body& body) {
  for (int64_t i = int64_t(device::thread_index()) * Width; i < columns; i += device::block_threads() * Width)
    body(i);
}

/// Threads of a block that takes a row: one a group, as whole warps.
inline int threads_of_row(int64_t columns, int most = 256) {
  const int64_t groups = (columns + group - 1) / group, lanes = device::warp_lanes;
  return int(std::clamp((groups + lanes - 1) / lanes * lanes, lanes, int64_t(most)));
}

}  // namespace eva::cuda
