#pragma once
// Host implementation of csrc/cuda/device/math.cuh.

#include <cmath>

namespace eva::cuda::device {

inline float exp2_fast(float x) { return std::exp2(x); }
inline float log2_fast(float x) { return std::log2(x); }
inline float rsqrt_fast(float x) { return 1.0f / std::sqrt(x); }

}  // namespace eva::cuda::device
