#include <algorithm>
#include <cstring>

#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/optimizer.h"

namespace eva::cuda {

using namespace device;

tensor_tiles::tensor_tiles(std::vector<update_tensor> tensors) : host_tensors_(std::move(tensors)) {
  for (size_t i = 0; i < host_tensors_.size(); ++i) {
    host_tensors_[i].first_tile = int(host_tiles_.size());
    for (int64_t begin = 0; begin < host_tensors_[i].count; begin += tile_elements)
      host_tiles_.push_back({int(i), begin});
  }
  tensors_ = buffer(std::max<size_t>(1, host_tensors_.size()) * sizeof(update_tensor));
  tiles_ = buffer(std::max<size_t>(1, host_tiles_.size()) * sizeof(update_tile));
}

void tensor_tiles::refresh(std::vector<update_tensor> tensors, context& c) {
  bool same = sent_;
  for (size_t i = 0; i < tensors.size(); ++i) {
    tensors[i].first_tile = host_tensors_[i].first_tile;
    const update_tensor &now = tensors[i], &before = host_tensors_[i];
    same = same && now.parameter == before.parameter && now.gradient == before.gradient &&
           now.first_moment == before.first_moment && now.second_moment == before.second_moment;
  }
  if (same) return;
  std::copy(tensors.begin(), tensors.end(), host_tensors_.begin());
  upload(tensors_.data(), host_tensors_.data(), host_tensors_.size() * sizeof(update_tensor), c.stream);
  upload(tiles_.data(), host_tiles_.data(), host_tiles_.size() * sizeof(update_tile), c.stream);
  sent_ = true;
}

namespace {

constexpr int threads = 256, double_scratch_bytes = threads / warp_lanes * 8;

template <class Args> constexpr bool is_update = requires(const Args& a) { a.first_moments; };
template <class Args> constexpr bool has_adapt = requires(const Args& a) { a.adapt; };

template <class Args> std::vector<update_tensor> tensors_of(const Args& a) {
  std::vector<update_tensor> all;
  if constexpr (is_update<Args>) {
    for (size_t i = 0; i < a.parameters.size(); ++i) {
      const float adapt = [&] {
        if constexpr (has_adapt<Args>)
          return a.adapt[i];
        else
          return 0.0f;
      }();
      all.push_back({a.parameters[i].template as<float>(), a.first_moments[i].template as<float>(),
                     a.second_moments[i].template as<float>(), a.gradients[i].template as<const float>(),
                     a.parameters[i].size(), 0, a.learning_rates[i], a.weight_decays[i], adapt});
    }
  } else if constexpr (requires { a.gradients; }) {
    for (const tensor& t : a.gradients)
      all.push_back({nullptr, nullptr, nullptr, t.template as<const float>(), t.size(), 0, 0, 0, 0});
  } else {
    for (const tensor& t : a.parameters)
      all.push_back({t.template as<float>(), nullptr, nullptr, nullptr, t.size(), 0, 0, 0, 0});
  }
  return all;
}

/// What a kernel needs to find its tile.
struct tile_list {
  const update_tensor* tensors;
  const update_tile* tiles;
};

__device__ int64_t tile_end(const update_tensor& tensor, const update_tile& tile) {
  return min(tensor.count, tile.begin + tile_elements);
}

/// What all elements of an update share: g, m, v and u as csrc/ops/optimizer.h defines them.
struct rule {
  float beta1, rest1, beta2, rest2, eps, clip_norm;
  const float *norm, *schedule;
  const int* step;
  bool corrects;  // whether u is made of bias-corrected moments

  template <class Args>
  rule(const Args& a, bool corrected)
      : beta1(a.beta1),
        rest1(float(1.0 - double(a.beta1))),
        beta2(a.beta2),
        rest2(float(1.0 - double(a.beta2))),
        eps(a.eps),
        clip_norm(a.clip_norm),
        norm(a.norm.template as<const float>()),
        schedule(a.schedule.template as<const float>()),
        step(a.step.template as<const int>()),
        corrects(corrected) {}
};

/// 1 - betaᵗ with the precision that a beta near 1 needs.
__device__ double correction(float beta, int step) { return 1 - pow(double(beta), double(step)); }

/// The numbers of a rule that only the device knows.
struct moment_rule {
  float clip, first_factor, second_factor;
  double bias_factor;  // of the rate, where u is not made of corrected moments
  bool moves;          // not when the norm is no number
};

__device__ moment_rule moment_rule_of(const rule& r) {
  const double norm = *r.norm;
  const double correction1 = correction(r.beta1, *r.step), correction2 = correction(r.beta2, *r.step);
  return {.clip = r.clip_norm > 0 ? float(min(1.0, double(r.clip_norm) / (norm + 1e-6))) : 1.0f,
          .first_factor = r.corrects ? float(1 / correction1) : 1.0f,
          .second_factor = r.corrects ? float(1 / correction2) : 1.0f,
          .bias_factor = r.corrects ? 1 : sqrt(correction2) / correction1,
          .moves = fabs(norm) < double(INFINITY)};
}

/// The rule once for the block, by way of shared memory: its double-precision powers are slow. Every thread
/// calls this.
__device__ moment_rule shared_rule(const rule& r, shared_array<moment_rule> place) {
  if (thread_index() == 0) place.store(0, moment_rule_of(r));
  block_barrier();
  return place.load(0);
}

struct element {
  float parameter, first_moment, second_moment, gradient;
};

/// New moments.
__device__ inline void advance(element& e, const rule& r, const moment_rule& m) {
  const float g = e.gradient * m.clip;
  e.first_moment = e.first_moment * r.beta1 + g * r.rest1;
  e.second_moment = e.second_moment * r.beta2 + g * g * r.rest2;
}

__device__ inline float direction(const element& e, const rule& r, const moment_rule& m, float weight_decay) {
  return e.first_moment * m.first_factor / (sqrtf(e.second_moment * m.second_factor) + r.eps) +
         weight_decay * e.parameter;
}

/// Four neighbours of a tensor at a time, 16 bytes of each of its arrays.
struct quad {
  float x[4];

  __device__ void load(const float* from) {
    const vector16 v = load_16(from);
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = as_float(v.words[i]);
  }
  __device__ void store(float* to) const {
    store_16(to, vector16{{as_word(x[0]), as_word(x[1]), as_word(x[2]), as_word(x[3])}});
  }
};

__device__ inline bool aligned(const update_tensor& t) {
  return (reinterpret_cast<uintptr_t>(t.parameter) | reinterpret_cast<uintptr_t>(t.first_moment) |
          reinterpret_cast<uintptr_t>(t.second_moment) | reinterpret_cast<uintptr_t>(t.gradient)) %
             16 ==
         0;
}

/// Which of an element's numbers a pass writes back.
enum class writes { moments, parameter, both };

/// Calls change(element) for every element of a tile and writes back what it changed. Reads gradients only
/// where moments are written.
template <writes Writes, class Change>
__device__ void for_each_element(const update_tensor& t, const update_tile& tile, const Change& change) {
  constexpr bool moments = Writes != writes::parameter, parameters = Writes != writes::moments;
  const int64_t end = tile_end(t, tile);
  const int64_t wide_end = aligned(t) ? tile.begin + (end - tile.begin) / 4 * 4 : tile.begin;
  for (int64_t i = tile.begin + 4 * thread_index(); i < wide_end; i += 4 * threads) {
    quad p, m, v, g{};
    p.load(t.parameter + i);
    m.load(t.first_moment + i);
    v.load(t.second_moment + i);
    if (moments) g.load(t.gradient + i);
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
    if (parameters) p.store(t.parameter + i);
  }
  for (int64_t i = wide_end + thread_index(); i < end; i += threads) {
    element e{t.parameter[i], t.first_moment[i], t.second_moment[i], moments ? t.gradient[i] : 0};
    change(e);
    if (moments) t.first_moment[i] = e.first_moment;
    if (moments) t.second_moment[i] = e.second_moment;
    if (parameters) t.parameter[i] = e.parameter;
  }
}

struct square_sums {
  double parameter, update;
};

struct lamb_arguments {
  tile_list list;
  rule shared;
  square_sums* tile_sums;  // [tiles]
  float* trust_ratios;     // [tensors]
  ops::lamb_variant variant;
};

constexpr int rule_bytes = sizeof(moment_rule), lamb_shared_bytes = double_scratch_bytes + rule_bytes;

/// The first pass: new moments, and the tile's part of ‖p‖² and ‖u‖².
__global__ void __launch_bounds__(threads) lamb_moments_kernel(lamb_arguments p) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(double_scratch_bytes));
  if (!m.moves) return;
  const update_tile tile = p.list.tiles[block_index()];
  const update_tensor tensor = p.list.tensors[tile.tensor];
  // A thread adds up few elements, in single precision; the threads' sums are added in double.
  float parameter_sum = 0, update_sum = 0;
  for_each_element<writes::moments>(tensor, tile, [&](element& e) {
    advance(e, p.shared, m);
    const float u = direction(e, p.shared, m, tensor.weight_decay);
    parameter_sum += e.parameter * e.parameter;
    update_sum += u * u;
  });
  const auto scratch = shared_at<double>(0);
  const double of_parameter = block_sum(double(parameter_sum), scratch);
  const double of_update = block_sum(double(update_sum), scratch);
  if (thread_index() == 0) p.tile_sums[block_index()] = {of_parameter, of_update};
}

/// ‖p‖ / ‖u‖, 1 when either is 0; from the tiles' sums in their order, the same in every block of a tensor.
__device__ float trust_ratio(const lamb_arguments& p, const update_tensor& tensor) {
  const int tiles = int((tensor.count + tile_elements - 1) / tile_elements);
  square_sums sums{0, 0};
  for (int i = thread_index(); i < tiles; i += threads) {
    sums.parameter += p.tile_sums[tensor.first_tile + i].parameter;
    sums.update += p.tile_sums[tensor.first_tile + i].update;
  }
  const auto scratch = shared_at<double>(0);
  const double of_parameter = block_sum(sums.parameter, scratch), of_update = block_sum(sums.update, scratch);
  if (tensor.adapt == 0 || !(of_parameter > 0) || !(of_update > 0)) return 1;
  const double ratio = sqrt(of_parameter / of_update);
  return float(p.variant == ops::lamb_variant::deepspeed ? min(max(ratio, 0.01), 10.0) : ratio);
}

/// The second pass: p -= rate u, with u computed again from the new moments rather than stored.
__global__ void __launch_bounds__(threads) lamb_apply_kernel(lamb_arguments p) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(double_scratch_bytes));
  const update_tile tile = p.list.tiles[block_index()];
  const update_tensor tensor = p.list.tensors[tile.tensor];
  const float ratio = m.moves ? trust_ratio(p, tensor) : 0;
  if (thread_index() == 0 && tile.begin == 0 && p.trust_ratios) p.trust_ratios[tile.tensor] = ratio;
  if (!m.moves) return;
  const float rate = float(double(*p.shared.schedule) * tensor.learning_rate * m.bias_factor * ratio);
  for_each_element<writes::parameter>(tensor, tile, [&](element& e) {
    e.parameter -= rate * direction(e, p.shared, m, tensor.weight_decay);
  });
}

/// The ratios of tensors without elements, which no tile speaks for.
__global__ void lamb_empty_kernel(lamb_arguments p, int tensors) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(0));
  for (int i = thread_index(); i < tensors; i += block_threads())
    if (p.list.tensors[i].count == 0) p.trust_ratios[i] = m.moves ? 1 : 0;
}

struct adamw_arguments {
  tile_list list;
  rule shared;
};

__global__ void __launch_bounds__(threads) adamw_kernel(adamw_arguments p) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(0));
  if (!m.moves) return;
  const update_tile tile = p.list.tiles[block_index()];
  const update_tensor tensor = p.list.tensors[tile.tensor];
  const float rate = *p.shared.schedule * tensor.learning_rate;
  for_each_element<writes::both>(tensor, tile, [&](element& e) {
    advance(e, p.shared, m);
    e.parameter -= rate * direction(e, p.shared, m, tensor.weight_decay);
  });
}

__global__ void __launch_bounds__(threads) clamp_kernel(tile_list list, float minimum, float maximum) {
  const update_tile tile = list.tiles[block_index()];
  const update_tensor tensor = list.tensors[tile.tensor];
  for (int64_t i = tile.begin + thread_index(); i < tile_end(tensor, tile); i += threads) {
    const float x = tensor.parameter[i];
    tensor.parameter[i] = x < minimum ? minimum : x > maximum ? maximum : x;  // a NaN stays one
  }
}

__global__ void __launch_bounds__(threads) square_sums_kernel(tile_list list, double* sums) {
  const update_tile tile = list.tiles[block_index()];
  const update_tensor tensor = list.tensors[tile.tensor];
  double sum = 0;
  for (int64_t i = tile.begin + thread_index(); i < tile_end(tensor, tile); i += threads)
    sum += double(tensor.gradient[i]) * double(tensor.gradient[i]);
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) sums[block_index()] = sum;
}

__global__ void __launch_bounds__(threads) norm_kernel(const double* sums, int tiles, float* norm) {
  double sum = 0;
  for (int i = thread_index(); i < tiles; i += threads) sum += sums[i];
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) *norm = float(sqrt(sum));
}

}  // namespace

template <class Op>
tiled_plan<Op>::tiled_plan(const typename Op::args& a, context&) : args_(a), tiles_(tensors_of(a)) {}

template <> void tiled_plan<ops::global_norm>::run(context& c) {
  tiles_.refresh(tensors_of(args_), c);
  double* sums = c.scratch.take<double>(tiles_.tiles());
  const tile_list list{tiles_.device_tensors(), tiles_.device_tiles()};
  launch(square_sums_kernel, tiles_.tiles(), threads, double_scratch_bytes, c.stream, list, sums);
  launch(norm_kernel, 1, threads, double_scratch_bytes, c.stream, sums, tiles_.tiles(),
         args_.norm.as<float>());
}

template <> void tiled_plan<ops::lamb_update>::run(context& c) {
  tiles_.refresh(tensors_of(args_), c);
  const lamb_arguments p{{tiles_.device_tensors(), tiles_.device_tiles()},
                         rule(args_, args_.variant != ops::lamb_variant::deepspeed),
                         c.scratch.take<square_sums>(tiles_.tiles()),
                         args_.trust_ratios.as<float>(),
                         args_.variant};
  launch(lamb_moments_kernel, tiles_.tiles(), threads, lamb_shared_bytes, c.stream, p);
  launch(lamb_apply_kernel, tiles_.tiles(), threads, lamb_shared_bytes, c.stream, p);
  const auto empty = [](const tensor& t) { return t.size() == 0; };
  if (p.trust_ratios && std::any_of(args_.parameters.begin(), args_.parameters.end(), empty))
    launch(lamb_empty_kernel, 1, threads, rule_bytes, c.stream, p, tiles_.tensors());
}

template <> void tiled_plan<ops::adamw_update>::run(context& c) {
  tiles_.refresh(tensors_of(args_), c);
  const adamw_arguments p{{tiles_.device_tensors(), tiles_.device_tiles()}, rule(args_, true)};
  launch(adamw_kernel, tiles_.tiles(), threads, rule_bytes, c.stream, p);
}

template <> void tiled_plan<ops::clamp_update>::run(context& c) {
  tiles_.refresh(tensors_of(args_), c);
  launch(clamp_kernel, tiles_.tiles(), threads, 0, c.stream,
         tile_list{tiles_.device_tensors(), tiles_.device_tiles()}, args_.minimum, args_.maximum);
}

template struct tiled_plan<ops::global_norm>;
template struct tiled_plan<ops::lamb_update>;
template struct tiled_plan<ops::adamw_update>;
template struct tiled_plan<ops::clamp_update>;

}  // namespace eva::cuda
