#pragma once
// What the log odds of a wrong answer say, and the powers of two that logits are computed in.

#include <cmath>

#include "cuda/device/thread.cuh"

namespace eva::cuda {

inline constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;

/// log (1 + e^x): the cross-entropy of an answer whose log odds of being wrong are x.
__device__ inline float softplus(float x) { return fmaxf(x, 0) + log1pf(expf(-fabsf(x))); }

/// 1 / (1 + e^-x): the probability that it is wrong.
__device__ inline float wrong_probability(float x) { return 1 / (1 + expf(-x)); }

}  // namespace eva::cuda
