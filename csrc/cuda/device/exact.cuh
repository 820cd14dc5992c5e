#pragma once
// Products whose rounding is known: the compiler never fuses the first with an addition.

#include <cmath>

namespace eva::cuda::device {

__device__ inline float rounded_product(float a, float b) { return __fmul_rn(a, b); }

/// a b - product, exact when product is the rounded a b.
__device__ inline float product_error(float a, float b, float product) { return __fmaf_rn(a, b, -product); }

/// a + b, and what it was rounded by (Knuth 1969, the sum of two).
__device__ inline float exact_sum(float a, float b, float& error) {
  const float sum = __fadd_rn(a, b), rest = __fsub_rn(sum, a);
  error = __fadd_rn(__fsub_rn(a, __fsub_rn(sum, rest)), __fsub_rn(b, rest));
  return sum;
}

}  // namespace eva::cuda::device
