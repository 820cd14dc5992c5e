#include <algorithm>

#include "cuda/device/launch.cuh"
#include "cuda/optimizer/optimizer.h"
#include "cuda/optimizer/update_rule.cuh"

namespace eva::cuda {

using namespace device;

namespace {

constexpr int threads = update_threads, double_scratch_bytes = threads / warp_size * 8;

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
                     a.parameters[i].size(), 0, a.weight_decays[i], adapt});
    }
  } else if constexpr (requires { a.averages; }) {
    // An average is updated from its parameter, as a parameter is from its gradient.
    for (size_t i = 0; i < a.averages.size(); ++i)
      all.push_back({a.averages[i].template as<float>(), nullptr, nullptr,
                     a.parameters[i].template as<const float>(), a.averages[i].size(), 0, 0, 0});
  } else if constexpr (requires { a.gradients; }) {
    for (const tensor& t : a.gradients)
      all.push_back({nullptr, nullptr, nullptr, t.template as<const float>(), t.size(), 0, 0, 0});
  } else {
    for (const tensor& t : a.parameters)
      all.push_back({t.template as<float>(), nullptr, nullptr, nullptr, t.size(), 0, 0, 0});
  }
  return all;
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

/// First pass: the new moments, and each tile's part of ‖p‖² and ‖u‖².
// Expected bound: HBM bandwidth; 24 bytes per parameter (p, m, v, g read; m, v written).
__global__ void __launch_bounds__(threads) lamb_moments_kernel(lamb_arguments p) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(double_scratch_bytes));
  if (!m.is_finite) return;
  const update_tile tile = p.list.tiles[block_index()];
  const update_tensor tensor = p.list.tensors[tile.tensor];
  // A thread sums few elements, for which f32 is accurate enough; the sums of threads are added in f64.
  float parameter_sum = 0, update_sum = 0;
  for_each_element<writes::moments>(tensor, tile, [&](element& e) {
    update_moments(e, p.shared, m);
    const float u = update_direction(e, p.shared, m, tensor.weight_decay);
    parameter_sum += e.parameter * e.parameter;
    update_sum += u * u;
  });
  const auto scratch = shared_at<double>(0);
  const double parameter_total = block_sum(double(parameter_sum), scratch);
  const double update_total = block_sum(double(update_sum), scratch);
  if (thread_index() == 0) p.tile_sums[block_index()] = {parameter_total, update_total};
}

/// ‖p‖ / ‖u‖, or 1 if either is 0. Every block of a tensor sums the tiles in the same order and gets the same
/// ratio.
__device__ float trust_ratio(const lamb_arguments& p, const update_tensor& tensor) {
  const int tiles = int((tensor.count + tile_elements - 1) / tile_elements);
  square_sums sums{0, 0};
  for (int i = thread_index(); i < tiles; i += threads) {
    sums.parameter += p.tile_sums[tensor.first_tile + i].parameter;
    sums.update += p.tile_sums[tensor.first_tile + i].update;
  }
  const auto scratch = shared_at<double>(0);
  const double parameter_total = block_sum(sums.parameter, scratch),
               update_total = block_sum(sums.update, scratch);
  if (tensor.adapt == 0 || !(parameter_total > 0) || !(update_total > 0)) return 1;
  const double ratio = sqrt(parameter_total / update_total);
  return float(p.variant == ops::lamb_variant::deepspeed ? min(max(ratio, 0.01), 10.0) : ratio);
}

/// Second pass: p -= rate u, with u recomputed from the new moments.
// Expected bound: HBM bandwidth; 16 bytes per parameter (p, m, v read; p written).
__global__ void __launch_bounds__(threads) lamb_apply_kernel(lamb_arguments p) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(double_scratch_bytes));
  const update_tile tile = p.list.tiles[block_index()];
  const update_tensor tensor = p.list.tensors[tile.tensor];
  const float ratio = m.is_finite ? trust_ratio(p, tensor) : 0;
  if (thread_index() == 0 && tile.begin == 0 && p.trust_ratios) p.trust_ratios[tile.tensor] = ratio;
  if (!m.is_finite) return;
  const float rate = float(double(p.shared.learning_rates[tile.tensor]) * m.bias_factor * ratio);
  for_each_element<writes::parameter>(tensor, tile, [&](element& e) {
    e.parameter -= rate * update_direction(e, p.shared, m, tensor.weight_decay);
  });
}

/// The ratios of empty tensors, which are covered by no tile.
__global__ void lamb_empty_kernel(lamb_arguments p, int tensors) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(0));
  for (int i = thread_index(); i < tensors; i += block_threads())
    if (p.list.tensors[i].count == 0) p.trust_ratios[i] = m.is_finite ? 1 : 0;
}

struct adamw_arguments {
  tile_list list;
  rule shared;
};

// Expected bound: HBM bandwidth; 28 bytes per parameter (p, m, v, g read; p, m, v written).
__global__ void __launch_bounds__(threads) adamw_kernel(adamw_arguments p) {
  const moment_rule m = shared_rule(p.shared, shared_at<moment_rule>(0));
  if (!m.is_finite) return;
  const update_tile tile = p.list.tiles[block_index()];
  const update_tensor tensor = p.list.tensors[tile.tensor];
  const float rate = p.shared.learning_rates[tile.tensor];
  for_each_element<writes::both>(tensor, tile, [&](element& e) {
    update_moments(e, p.shared, m);
    e.parameter -= rate * update_direction(e, p.shared, m, tensor.weight_decay);
  });
}

// Expected bound: HBM bandwidth; 8 bytes per parameter.
__global__ void __launch_bounds__(threads) clamp_kernel(tile_list list, float minimum, float maximum) {
  const update_tile tile = list.tiles[block_index()];
  const update_tensor tensor = list.tensors[tile.tensor];
  for (int64_t i = tile.begin + thread_index(); i < tile_end(tensor, tile); i += threads) {
    const float x = tensor.parameter[i];
    tensor.parameter[i] = x < minimum ? minimum : x > maximum ? maximum : x;  // keeps NaN
  }
}

// Expected bound: HBM bandwidth; 12 bytes per parameter (average, parameter read; average written).
__global__ void __launch_bounds__(threads) ema_kernel(tile_list list, const float* norm, float rest) {
  if (!(fabs(double(*norm)) < double(INFINITY))) return;
  const update_tile tile = list.tiles[block_index()];
  const update_tensor tensor = list.tensors[tile.tensor];
  const int64_t end = tile_end(tensor, tile);
  const int64_t wide_end = aligned(tensor) ? tile.begin + (end - tile.begin) / 4 * 4 : tile.begin;
  const auto moved = [rest](float average, float parameter) {
    return average + rest * (parameter - average);
  };
  for (int64_t i = tile.begin + 4 * thread_index(); i < wide_end; i += 4 * threads) {
    quad averages, parameters;
    averages.load(tensor.parameter + i);
    parameters.load(tensor.gradient + i);
#pragma unroll
    for (int j = 0; j < 4; ++j) averages.x[j] = moved(averages.x[j], parameters.x[j]);
    averages.store(tensor.parameter + i);
  }
  for (int64_t i = wide_end + thread_index(); i < end; i += threads)
    tensor.parameter[i] = moved(tensor.parameter[i], tensor.gradient[i]);
}

// Σ g² of each tile, in f64.
// Expected bound: HBM bandwidth; 4 bytes per parameter.
__global__ void __launch_bounds__(threads) square_sums_kernel(tile_list list, double* sums) {
  const update_tile tile = list.tiles[block_index()];
  const update_tensor tensor = list.tensors[tile.tensor];
  double sum = 0;
  for (int64_t i = tile.begin + thread_index(); i < tile_end(tensor, tile); i += threads)
    sum += double(tensor.gradient[i]) * double(tensor.gradient[i]);
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) sums[block_index()] = sum;
}

// NaN if the program recorded an index out of range, so that nothing is updated.
__global__ void __launch_bounds__(threads)
    norm_kernel(const double* sums, int tiles, const index_fault* fault, float* norm) {
  double sum = 0;
  for (int i = thread_index(); i < tiles; i += threads) sum += sums[i];
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) *norm = fault->owner == 0 ? float(sqrt(sum)) : NAN;
}

}  // namespace

template <class Op>
tiled_plan<Op>::tiled_plan(const typename Op::args& a, context&) : args_(a), tiles_(tensors_of(a)) {}

template <> void tiled_plan<ops::global_norm>::run(context& c) {
  tiles_.refresh(tensors_of(args_), c);
  double* sums = c.scratch.take<double>(tiles_.tiles());
  const tile_list list{tiles_.device_tensors(), tiles_.device_tiles()};
  launch(square_sums_kernel, tiles_.tiles(), threads, double_scratch_bytes, c.stream, list, sums);
  launch(norm_kernel, 1, threads, double_scratch_bytes, c.stream, sums, tiles_.tiles(), c.faults.memory(),
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

template <> void tiled_plan<ops::ema_update>::run(context& c) {
  tiles_.refresh(tensors_of(args_), c);
  launch(ema_kernel, tiles_.tiles(), threads, 0, c.stream,
         tile_list{tiles_.device_tensors(), tiles_.device_tiles()}, args_.norm.as<const float>(),
         float(1.0 - double(args_.decay)));
}

template struct tiled_plan<ops::global_norm>;
template struct tiled_plan<ops::lamb_update>;
template struct tiled_plan<ops::adamw_update>;
template struct tiled_plan<ops::clamp_update>;
template struct tiled_plan<ops::ema_update>;

}  // namespace eva::cuda
