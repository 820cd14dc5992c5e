#pragma once

#include <cmath>

#include "cuda/device/thread.cuh"

namespace eva::cuda {

/// Φ(x), the normal distribution function; accurate in relative terms where it is small.
__device__ inline float normal_distribution(float x) { return 0.5f * erfcf(x * -0.70710678f); }

/// x Φ(x) (Hendrycks and Gimpel 2016)
__device__ inline float gelu(float x) { return x * normal_distribution(x); }

/// Φ(x) + x φ(x)
__device__ inline float gelu_slope(float x) {
  return normal_distribution(x) + x * 0.39894228f * expf(-0.5f * x * x);
}

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/// log (1 + e^x), without overflow
__device__ inline float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

/// x σ(1.702 x)
__device__ inline float quick_gelu(float x) { return x * sigmoid(1.702f * x); }

/// s + 1.702 x s (1 - s), with s = σ(1.702 x)
__device__ inline float quick_gelu_slope(float x) {
  const float s = sigmoid(1.702f * x);
  return s * (1.0f + 1.702f * x * (1.0f - s));
}

}  // namespace eva::cuda
