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

/// What a row of scores was divided by: p = e^(s - maximum) / sum.
struct softmax_scale {
  float maximum, sum;
};

/// Turns a row of scores into p · sum in place: a query sees the first `seen` of its `columns` keys, the
/// others get zero.
inline softmax_scale exponentiate(float* row, int64_t seen, int64_t columns) {
  const vec lowest = broadcast(-std::numeric_limits<float>::infinity());
  vec highest = lowest;
  sweep(seen, [&](int64_t i, auto width) {
    highest = maximum(first_lanes(load(row + i), width, lowest), highest);
  });
  const float peak = reduce_max(highest);
  vec sum{};
  sweep(seen, [&](int64_t i, auto width) {
    const vec p = first_lanes(exp(load(row + i) - peak), width, vec{});
    store(row + i, p);
    sum += p;
  });
  for (int64_t i = (seen + lanes - 1) / lanes * lanes; i < columns; i += lanes) store(row + i, vec{});
  return {peak, reduce_add(sum)};
}

/// Turns a row of scores into p = e^(s - log_sum) and a row of its gradients dp into ds = p (dp - delta),
/// in place.
inline void softmax_gradient(float* row, float* gradient, int64_t seen, int64_t columns, float log_sum,
                             float delta) {
  sweep(seen, [&](int64_t i, auto width) {
    const vec p = first_lanes(exp(load(row + i) - log_sum), width, vec{});
    store(row + i, p);
    store(gradient + i, first_lanes(p * (load(gradient + i) - delta), width, vec{}));
  });
  for (int64_t i = (seen + lanes - 1) / lanes * lanes; i < columns; i += lanes) {
    store(row + i, vec{});
    store(gradient + i, vec{});
  }
}

}  // namespace eva::cpu::EVA_CLIP_ISA
