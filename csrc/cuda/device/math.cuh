#pragma once
// Approximate functions of the special-function unit: relative error about 2^-22, denormals flushed to zero.

namespace eva::cuda::device {

__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// 1 / x within one unit in the last place.
__device__ inline float reciprocal_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ inline float log2_fast(float x) { return __log2f(x); }
__device__ inline float rsqrt_fast(float x) { return rsqrtf(x); }

}  // namespace eva::cuda::device
