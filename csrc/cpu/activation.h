#pragma once

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// x Φ(x), with Φ(x) = (1 + erf(x / sqrt 2)) / 2 (Hendrycks and Gimpel 2016).
inline vec gelu(vec x) { return 0.5f * x * (1.0f + erf(x * 0.70710678f)); }

/// Φ(x) + x φ(x)
inline vec gelu_slope(vec x) {
  const vec density = exp(-0.5f * x * x) * 0.39894228f;
  return 0.5f + 0.5f * erf(x * 0.70710678f) + x * density;
}

/// x σ(1.702 x)
inline vec quick_gelu(vec x) { return x * sigmoid(1.702f * x); }

/// s + 1.702 x s (1 - s), with s = σ(1.702 x)
inline vec quick_gelu_slope(vec x) {
  const vec s = sigmoid(1.702f * x);
  return s * (1.0f + 1.702f * x * (1.0f - s));
}

}  // namespace eva::cpu::EVA_CLIP_ISA
