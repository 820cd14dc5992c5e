#pragma once

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Φ(x), the standard normal CDF, within 1e-7: log2 Φ(-a) = a P(a) - 1 for a >= 0, with P fitted to the
/// minimax error of gelu. Small Φ keep their relative precision, which 1 + erf(x) would lose to cancellation.
inline vec normal_distribution(vec x) {
  const vec a = absolute(x);
  const vec tail = exp2(a * polynomial(a, -2.0502389e-6f, 3.0066050e-5f, -1.4245541e-4f, -2.4091888e-4f,
                                       7.1962923e-3f, -5.2585013e-2f, -4.5918068e-1f, -1.1511080f) -
                        1.0f);
  return select(x < 0.0f, tail, 1.0f - tail);
}

/// x Φ(x) (Hendrycks and Gimpel 2016)
inline vec gelu(vec x) { return x * normal_distribution(x); }

/// Φ(x) + x φ(x)
inline vec gelu_derivative(vec x) { return normal_distribution(x) + x * 0.39894228f * exp(-0.5f * x * x); }

/// x σ(1.702 x)
inline vec quick_gelu(vec x) { return x * sigmoid(1.702f * x); }

/// s + 1.702 x s (1 - s), with s = σ(1.702 x)
inline vec quick_gelu_derivative(vec x) {
  const vec s = sigmoid(1.702f * x);
  return s * (1.0f + 1.702f * x * (1.0f - s));
}

}  // namespace eva::cpu::EVA_CLIP_ISA
