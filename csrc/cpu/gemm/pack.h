#pragma once

#include <algorithm>

#include "cpu/gemm/engine.h"
#include "cpu/unrolled.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// How elements of a matrix become words of a panel.
struct f32_words {
  using element = float;
  static constexpr int elements = 1;
  static vec load_depth(const float* p, int64_t count) { return load_some(p, count); }
  static vec load_lanes(const float* p, int64_t stride, int64_t, int64_t count) {
    return load_strided(p, stride, count);
  }

  template <class T> static vec load_some(const T* p, int64_t count) {
    return count >= lanes ? load(p) : load(p, int(count));
  }
  template <class T> static vec load_strided(const T* p, int64_t stride, int64_t count) {
    if (stride == 1) return load_some(p, count);
    vec x{};
    for (int i = 0; i < std::min<int64_t>(count, lanes); ++i) x[i] = float(p[i * stride]);
    return x;
  }
};

/// bf16 widened to f32.
struct widened_words {
  using element = bf16;
  static constexpr int elements = 1;
  static vec load_depth(const bf16* p, int64_t count) { return f32_words::load_some(p, count); }
  static vec load_lanes(const bf16* p, int64_t stride, int64_t, int64_t count) {
    return f32_words::load_strided(p, stride, count);
  }
};

/// Pairs of bf16 along K, the first in the lower half.
struct bf16_pairs {
  using element = bf16;
  static constexpr int elements = 2;
  static vec load_depth(const bf16* p, int64_t count) {
    vec x{};
    if (count >= 2 * lanes)
      std::memcpy(&x, p, sizeof x);
    else
      std::memcpy(&x, p, size_t(count) * sizeof(bf16));
    return x;
  }
  static vec load_lanes(const bf16* p, int64_t stride, int64_t depth_stride, int64_t count, bool second) {
    // Widening leaves the bits in the upper half.
    const vec low = f32_words::load_strided(p, stride, count);
    const vec high = second ? f32_words::load_strided(p + depth_stride, stride, count) : vec{};
    return std::bit_cast<vec>(std::bit_cast<uvec>(low) >> 16 | std::bit_cast<uvec>(high));
  }
};

/// The elements of a and b in turn: a0 b0 a1 b1 …, its first or second half.
template <bool Second> vec interleave(vec a, vec b) {
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, int((I + (Second ? lanes : 0)) / 2 + (I % 2 == 1 ? lanes : 0))...);
  }
  (std::make_index_sequence<lanes>());
}

/// Each round interleaves the first half of the rows with the second; log2(lanes) rounds transpose.
inline void transpose(vec (&rows)[lanes]) {
  constexpr int rounds = std::bit_width(unsigned(lanes)) - 1;
  unrolled<rounds>([&](auto) {
    vec next[lanes];
    unrolled<lanes / 2>([&](auto i) {
      next[2 * i] = interleave<false>(rows[i], rows[i + lanes / 2]);
      next[2 * i + 1] = interleave<true>(rows[i], rows[i + lanes / 2]);
    });
    unrolled<lanes>([&](auto i) { rows[i] = next[i]; });
  });
}

/// Reads `lanes` lanes from `first` on and `lanes` words of K from element `k` on; zeros beyond the matrix.
/// ByDepth: rows[i] holds word i of K of all lanes, otherwise all words of K of lane i.
template <class Words, bool ByDepth>
void load_block(const panel_source& from, int64_t first, int64_t k, vec (&rows)[lanes]) {
  using element = typename Words::element;
  const auto* p = static_cast<const element*>(from.data) + first * from.lane_stride + k * from.depth_stride;
  const int64_t count = std::max<int64_t>(from.lane_count - first, 0), depth = from.depth - k;
  const bool along_depth = from.depth_stride == 1 && from.lane_stride != 1;
  for (int i = 0; i < lanes; ++i) {
    const int64_t at = i * Words::elements;
    if (along_depth)
      rows[i] = i < count ? Words::load_depth(p + i * from.lane_stride, depth) : vec{};
    else if (at >= depth)
      rows[i] = vec{};
    else if constexpr (Words::elements == 2)
      rows[i] = Words::load_lanes(p + at * from.depth_stride, from.lane_stride, from.depth_stride, count,
                                  at + 1 < depth);
    else
      rows[i] = Words::load_lanes(p + at * from.depth_stride, from.lane_stride, from.depth_stride, count);
  }
  if (along_depth == ByDepth) transpose(rows);
}

/// A panel of Groups · lanes lanes, for each word of K side by side. `depth_unit` as in engine.
template <class Words, int Groups, int64_t DepthUnit>
void pack_by_depth(const panel_source& from, word* panel) {
  const int64_t words = (from.depth + Words::elements - 1) / Words::elements;
  const int64_t padded = (words + DepthUnit - 1) / DepthUnit * DepthUnit;
  for (int64_t k = 0; k < padded; k += lanes) {
    const int64_t count = std::min<int64_t>(padded - k, lanes);
    for (int group = 0; group < Groups; ++group) {
      vec rows[lanes];
      load_block<Words, true>(from, group * lanes, k * Words::elements, rows);
      word* to = panel + k * Groups * lanes + group * lanes;
      for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * Groups * lanes, &rows[i], sizeof(vec));
    }
  }
}

}  // namespace eva::cpu::EVA_CLIP_ISA
