#pragma once

#include <algorithm>
#include <limits>

#include "cpu/attention/small_gemm.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// x in the lanes before `count`, `other` in the rest.
inline vec first_lanes(vec x, whole, vec) { return x; }
inline vec first_lanes(vec x, int count, vec other) {
  return select(lane_indices() < broadcast(int32_t(count)), x, other);
}

/// log2 e. Scores are multiplied by it, because 2^x is cheaper than e^x.
inline constexpr float log2_e = 1.44269504f;

/// The maximum of the first `visible` scores of a row; the rest are masked.
inline float row_maximum(const float* row, int64_t visible) {
  const vec lowest = broadcast(-std::numeric_limits<float>::infinity());
  vec highest = lowest;
  sweep(visible, [&](int64_t i, auto width) {
    highest = maximum(first_lanes(load(row + i), width, lowest), highest);
  });
  return reduce_max(highest);
}

inline void clear_masked(float* row, int64_t visible, int64_t columns) {
  for (int64_t i = whole_vectors(visible); i < columns; i += lanes) store(row + i, vec{});
}

/// Replaces a row of scores s by 2^(s - row_max) in place, zero for masked keys, and returns its sum.
inline float exponentiate(float* row, int64_t visible, int64_t columns, float row_max) {
  vec sum{};
  sweep(visible, [&](int64_t i, auto width) {
    const vec p = first_lanes(exp2(load(row + i) - row_max), width, vec{});
    store(row + i, p);
    sum += p;
  });
  clear_masked(row, visible, columns);
  return reduce_add(sum);
}

/// Replaces a row of scores s by p = 2^(s - log_sum) and a row of gradients dp by ds = p (dp - delta), in
/// place.
inline void softmax_gradient(float* row, float* gradient, int64_t visible, int64_t columns, float log_sum,
                             float delta) {
  sweep(visible, [&](int64_t i, auto width) {
    const vec p = first_lanes(exp2(load(row + i) - log_sum), width, vec{});
    store(row + i, p);
    store(gradient + i, first_lanes(p * (load(gradient + i) - delta), width, vec{}));
  });
  clear_masked(row, visible, columns);
  clear_masked(gradient, visible, columns);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
