#pragma once
// Error-free transformations: products and sums with their exact rounding errors. The compiler never
// contracts them to FMAs.

#include <cmath>

namespace eva::cuda::device {

__device__ inline float rounded_product(float a, float b) { return __fmul_rn(a, b); }

/// a b - product, exact if product is rounded_product(a, b) (TwoProduct).
__device__ inline float product_error(float a, float b, float product) { return __fmaf_rn(a, b, -product); }

/// The rounded a + b, and in `error` its exact rounding error (Knuth 1969, TwoSum).
__device__ inline float exact_sum(float a, float b, float& error) {
  const float sum = __fadd_rn(a, b), rest = __fsub_rn(sum, a);
  error = __fadd_rn(__fsub_rn(a, __fsub_rn(sum, rest)), __fsub_rn(b, rest));
  return sum;
}

}  // namespace eva::cuda::device
