#pragma once

#include <cmath>

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Statistics of a row for layer norm: its mean and 1 / sqrt(variance + eps).
struct row_statistics {
  float mean, rstd;
};

/// Two passes, the second over a row that is in the cache: the variance is that of the differences from the
/// mean, without cancellation.
template <class T> row_statistics statistics_of(const T* x, int64_t columns, float eps) {
  const float mean =
      sum_over(columns, [&](int64_t i, auto width) { return load(x + i, width); }) / float(columns);
  const float squares = sum_over(columns, [&](int64_t i, auto width) {
    const vec difference = load(x + i, width) - mean;
    return difference * difference;
  });
  return {mean, 1.0f / std::sqrt(squares / float(columns) + eps)};
}

/// For RMSNorm: 1 / sqrt(mean of squares + eps), with the mean taken as zero.
template <class T> row_statistics rms_statistics_of(const T* x, int64_t columns, float eps) {
  const float squares = sum_over(columns, [&](int64_t i, auto width) {
    const vec value = load(x + i, width);
    return value * value;
  });
  return {0.0f, 1.0f / std::sqrt(squares / float(columns) + eps)};
}

}  // namespace eva::cpu::EVA_CLIP_ISA
