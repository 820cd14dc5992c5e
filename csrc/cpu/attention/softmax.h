#pragma once

#include <algorithm>
#include <limits>

#include "cpu/attention/product.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// x in the lanes before `count`, `other` in the rest.
inline vec first_lanes(vec x, whole, vec) { return x; }
inline vec first_lanes(vec x, int count, vec other) {
  const ivec lane = [&]<int... I>(std::integer_sequence<int, I...>) { return ivec{I...}; }
  (std::make_integer_sequence<int, lanes>());
  return select(lane < broadcast(int32_t(count)), x, other);
}

/// log2 e. Scores are kept in units of ln 2, because 2^x is cheaper than e^x.
inline constexpr float log2_e = 1.44269504f;

/// A query sees the first `seen` keys of its row of scores.
inline float row_maximum(const float* row, int64_t seen) {
  const vec lowest = broadcast(-std::numeric_limits<float>::infinity());
  vec highest = lowest;
  sweep(seen, [&](int64_t i, auto width) {
    highest = maximum(first_lanes(load(row + i), width, lowest), highest);
  });
  return reduce_max(highest);
}

inline void clear_unseen(float* row, int64_t seen, int64_t columns) {
  for (int64_t i = whole_vectors(seen); i < columns; i += lanes) store(row + i, vec{});
}

/// Turns a row of scores s into 2^(s - peak) in place, zero for keys that are not seen, and returns its sum.
inline float exponentiate(float* row, int64_t seen, int64_t columns, float peak) {
  vec sum{};
  sweep(seen, [&](int64_t i, auto width) {
    const vec p = first_lanes(exp2(load(row + i) - peak), width, vec{});
    store(row + i, p);
    sum += p;
  });
  clear_unseen(row, seen, columns);
  return reduce_add(sum);
}

/// Turns a row of scores s into p = 2^(s - log_sum) and a row of gradients dp into ds = p (dp - delta), in
/// place.
inline void softmax_gradient(float* row, float* gradient, int64_t seen, int64_t columns, float log_sum,
                             float delta) {
  sweep(seen, [&](int64_t i, auto width) {
    const vec p = first_lanes(exp2(load(row + i) - log_sum), width, vec{});
    store(row + i, p);
    store(gradient + i, first_lanes(p * (load(gradient + i) - delta), width, vec{}));
  });
  clear_unseen(row, seen, columns);
  clear_unseen(gradient, seen, columns);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
