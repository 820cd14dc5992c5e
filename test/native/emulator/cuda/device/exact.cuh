#pragma once
// Host implementation of csrc/cuda/device/exact.cuh: tests are built without contraction to FMAs.

#include <cmath>

namespace eva::cuda::device {

inline float rounded_product(float a, float b) { return a * b; }

inline float product_error(float a, float b, float product) { return std::fma(a, b, -product); }

inline float exact_sum(float a, float b, float& error) {
  const float sum = a + b, rest = sum - a;
  error = (a - (sum - rest)) + (b - rest);
  return sum;
}

}  // namespace eva::cuda::device
