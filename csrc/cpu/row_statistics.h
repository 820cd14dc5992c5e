#pragma once

#include <cmath>

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// What layer norm needs to know of a row: its mean and 1 / sqrt(variance + eps).
struct row_statistics {
  float mean, rstd;
};

/// The variance is that of the differences from the mean: a second walk over a row that is in the cache, and
/// no cancellation.
template <class T> row_statistics statistics_of(const T* x, int64_t columns, float eps) {
  const float mean =
      sum_over(columns, [&](int64_t i, auto width) { return load(x + i, width); }) / float(columns);
  const float squares = sum_over(columns, [&](int64_t i, auto width) {
    const vec difference = load(x + i, width) - mean;
    return difference * difference;
  });
  return {mean, 1.0f / std::sqrt(squares / float(columns) + eps)};
}

/// Of a row that is not centred: 1 / sqrt(mean of squares + eps), with the mean taken as zero.
template <class T> row_statistics uncentred_statistics_of(const T* x, int64_t columns, float eps) {
  const float squares = sum_over(columns, [&](int64_t i, auto width) {
    const vec value = load(x + i, width);
    return value * value;
  });
  return {0.0f, 1.0f / std::sqrt(squares / float(columns) + eps)};
}

}  // namespace eva::cpu::EVA_CLIP_ISA
