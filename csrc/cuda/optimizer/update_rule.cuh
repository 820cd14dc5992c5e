#pragma once
// Shared by the optimizers' kernels: the update rule, and the loop over a tile's elements.

#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/math.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"
#include "cuda/optimizer/tensor_tiles.h"

namespace eva::cuda {

using namespace device;

inline constexpr int update_threads = 256;

/// The tiles of a launch, one per block.
struct tile_list {
  const update_tensor* tensors;
  const update_tile* tiles;
};

__device__ inline int64_t tile_end(const update_tensor& tensor, const update_tile& tile) {
  return min(tensor.count, tile.begin + tile_elements);
}

/// The hyperparameters of an update; csrc/ops/optimizer.h defines g, m, v and u.
struct rule {
  float beta1, rest1, beta2, rest2, eps, clip_norm;
  const float *norm, *learning_rates;  // [], [tensors]
  const int* step;
  bool corrects;  // whether u uses bias-corrected moments

  template <class Args>
  rule(const Args& a, bool corrected)
      : beta1(a.beta1),
        rest1(float(1.0 - double(a.beta1))),
        beta2(a.beta2),
        rest2(float(1.0 - double(a.beta2))),
        eps(a.eps),
        clip_norm(a.clip_norm),
        norm(a.norm.template as<const float>()),
        learning_rates(a.learning_rates.template as<const float>()),
        step(a.step.template as<const int>()),
        corrects(corrected) {}
};

/// The bias correction 1 - betaᵗ, in f64 because of betas near 1.
__device__ inline double bias_correction(float beta, int step) { return 1 - pow(double(beta), double(step)); }

/// The factors of an update that depend on values in device memory, computed once per update: pow in double
/// precision is slow.
struct moment_rule {
  float clip, first_factor, second_factor;
  double bias_factor;  // of the learning rate, if u uses uncorrected moments
  bool is_finite;      // whether the norm is; otherwise nothing is updated
};

__device__ inline moment_rule moment_rule_of(const rule& r) {
  const double norm = *r.norm;
  const double correction1 = bias_correction(r.beta1, *r.step),
               correction2 = bias_correction(r.beta2, *r.step);
  return {.clip = r.clip_norm > 0 ? float(min(1.0, double(r.clip_norm) / (norm + 1e-6))) : 1.0f,
          .first_factor = r.corrects ? float(1 / correction1) : 1.0f,
          .second_factor = r.corrects ? float(1 / correction2) : 1.0f,
          .bias_factor = r.corrects ? 1 : sqrt(correction2) / correction1,
          .is_finite = fabs(norm) < double(INFINITY)};
}

struct element {
  float parameter, first_moment, second_moment, gradient;
};

/// Updates the moments.
__device__ inline void update_moments(element& e, const rule& r, const moment_rule& m) {
  const float g = e.gradient * m.clip;
  e.first_moment = e.first_moment * r.beta1 + g * r.rest1;
  e.second_moment = e.second_moment * r.beta2 + g * g * r.rest2;
}

/// u: the update before the learning rate.
__device__ inline float update_direction(const element& e, const rule& r, const moment_rule& m,
                                         float weight_decay) {
  return e.first_moment * m.first_factor / (sqrtf(e.second_moment * m.second_factor) + r.eps) +
         weight_decay * e.parameter;
}

/// Four adjacent elements, 16 bytes.
struct quad {
  float x[4];

  __device__ void load(const float* from, bool once = false) {
    const vector16 v = once ? load_16_once(from) : load_16(from);
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = as_float(v.words[i]);
  }
  __device__ vector16 packed() const {
    return {{as_word(x[0]), as_word(x[1]), as_word(x[2]), as_word(x[3])}};
  }
  __device__ void store(float* to) const { store_16(to, packed()); }
  __device__ void store_once(float* to) const { store_16_once(to, packed()); }
};

__device__ inline bool aligned(const update_tensor& t) {
  return (reinterpret_cast<uintptr_t>(t.parameter) | reinterpret_cast<uintptr_t>(t.first_moment) |
          reinterpret_cast<uintptr_t>(t.second_moment) | reinterpret_cast<uintptr_t>(t.gradient) |
          2 * reinterpret_cast<uintptr_t>(t.copy)) %
             16 ==
         0;
}

/// What a pass writes back.
enum class writes { moments, parameter, both };

/// Calls change(element) for every element of a tile and writes back what it changed, parameters also to
/// their copies. Gradients are read only if moments are written. Only what another pass will read stays in
/// L2.
template <writes Writes, class Change>
__device__ void for_each_element(const update_tensor& t, const update_tile& tile, const Change& change) {
  constexpr bool moments = Writes != writes::parameter, parameters = Writes != writes::moments;
  auto* const copy = static_cast<bf16*>(t.copy);
  const int64_t end = tile_end(t, tile);
  const int64_t wide_end = aligned(t) ? tile.begin + (end - tile.begin) / 4 * 4 : tile.begin;
  for (int64_t i = tile.begin + 4 * thread_index(); i < wide_end; i += 4 * update_threads) {
    quad p, m, v, g{};
    p.load(t.parameter + i, parameters);
    m.load(t.first_moment + i, parameters);
    v.load(t.second_moment + i, parameters);
    if (moments) g.load(t.gradient + i, true);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      element e{p.x[j], m.x[j], v.x[j], g.x[j]};
      change(e);
      p.x[j] = e.parameter;
      m.x[j] = e.first_moment;
      v.x[j] = e.second_moment;
    }
    if (moments) m.store(t.first_moment + i);
    if (moments) v.store(t.second_moment + i);
    if (parameters) p.store_once(t.parameter + i);
    if (parameters && copy) store_elements(copy + i, p.x);
  }
  for (int64_t i = wide_end + thread_index(); i < end; i += update_threads) {
    element e{t.parameter[i], t.first_moment[i], t.second_moment[i], moments ? t.gradient[i] : 0};
    change(e);
    if (moments) t.first_moment[i] = e.first_moment;
    if (moments) t.second_moment[i] = e.second_moment;
    if (parameters) t.parameter[i] = e.parameter;
    if (parameters && copy) copy[i] = to_bf16(e.parameter);
  }
}

}  // namespace eva::cuda
