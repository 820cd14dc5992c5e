#pragma once
// Host implementation of csrc/cuda/device/math.cuh. reciprocal_fast has the largest error that the device's
// may have, so that tests show whether kernels bear it.

#include <cmath>
#include <limits>

namespace eva::cuda::device {

inline float exp2_fast(float x) { return std::exp2(x); }
inline float reciprocal_fast(float x) {
  const auto flushed = [](float value) {
    return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
  };
  const float exact = 1.0f / flushed(x);
  return flushed(std::isfinite(exact) ? std::nextafter(exact, 0.0f) : exact);
}
inline float log2_fast(float x) { return std::log2(x); }
inline float rsqrt_fast(float x) { return 1.0f / std::sqrt(x); }

}  // namespace eva::cuda::device
