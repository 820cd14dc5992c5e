#include <cstddef>

#include "cuda/device/atomic.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/optimizer/optimizer.h"
#include "cuda/optimizer/update_rule.cuh"

namespace eva::cuda {

using namespace device;

namespace {

constexpr int threads = update_threads, double_scratch_bytes = threads / warp_size * 8;
constexpr int norm_threads = 1024, norm_scratch_bytes = norm_threads / warp_size * 8;
constexpr int norm_tiles = 8;  // of a block: so many partial sums less

template <class Args> constexpr bool is_update = requires(const Args& a) { a.first_moments; };
template <class Args> constexpr bool has_adapt = requires(const Args& a) { a.adapt; };

template <class Args> void* copy_of(const Args& a, size_t i) {
  return !a.copies.empty() && a.copies[i].present() ? a.copies[i].data : nullptr;
}

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
                     copy_of(a, i), a.parameters[i].size(), 0, a.weight_decays[i], adapt});
    }
  } else if constexpr (requires { a.averages; }) {
    // An average is updated from its parameter, as a parameter is from its gradient.
    for (size_t i = 0; i < a.averages.size(); ++i)
      all.push_back({a.averages[i].template as<float>(), nullptr, nullptr,
                     a.parameters[i].template as<const float>(), nullptr, a.averages[i].size(), 0, 0, 0});
  } else if constexpr (requires { a.gradients; }) {
    for (const tensor& t : a.gradients)
      all.push_back({nullptr, nullptr, nullptr, t.template as<const float>(), nullptr, t.size(), 0, 0, 0});
  } else {
    for (const tensor& t : a.parameters)
      all.push_back({t.template as<float>(), nullptr, nullptr, nullptr, nullptr, t.size(), 0, 0, 0});
  }
  return all;
}

struct square_sums {
  double parameter, update;
};

/// How far the first pass over a tensor has come. The trust ratio is known after its last tile.
struct tensor_progress {
  uint32_t tiles_done, has_ratio;
  float ratio;
};

/// What the blocks of an update share, in device memory.
struct update_state {
  moment_rule rule;
  uint32_t next_tile;
};

/// Sets up an update of `tensors` tensors. The trust ratio of an empty tensor is 1; if the norm is not
/// finite, all are 0.
__global__ void __launch_bounds__(threads)
    prepare_update_kernel(rule shared, update_state* state, tensor_progress* progress, float* trust_ratios,
                          int tensors) {
  if (thread_index() == 0) *state = {moment_rule_of(shared), 0};
  const bool is_finite = fabsf(*shared.norm) < INFINITY;
  for (int i = thread_index(); i < tensors; i += threads) {
    if (progress) progress[i] = {0, 0, 0};
    if (trust_ratios) trust_ratios[i] = is_finite ? 1 : 0;
  }
}

struct lamb_arguments {
  tile_list list;
  rule shared;
  update_state* state;
  tensor_progress* progress;  // [tensors]
  square_sums* tile_sums;     // [tiles]
  float* trust_ratios;        // [tensors]; may be null
  ops::lamb_variant variant;
};

// Shared memory of LAMB: scratch of sums, then a word for what thread 0 tells the others.
constexpr int lamb_shared_bytes = double_scratch_bytes + 4;

/// The value that thread 0 has; every thread of the block must call it.
template <class T> __device__ T broadcast(T value) {
  const auto place = shared_at<T>(double_scratch_bytes);
  if (thread_index() == 0) place.store(0, value);
  block_barrier();
  return place.load(0);
}

/// ‖p‖ / ‖u‖ from the sums of a tensor's tiles, or 1 if either is 0.
__device__ float trust_ratio(const lamb_arguments& p, const update_tensor& tensor, int tiles) {
  square_sums sums{0, 0};
#pragma unroll 4
  for (int i = thread_index(); i < tiles; i += threads) {
    const square_sums tile = p.tile_sums[tensor.first_tile + i];
    sums.parameter += tile.parameter;
    sums.update += tile.update;
  }
  const auto scratch = shared_at<double>(0);
  const double parameter_total = block_sum(sums.parameter, scratch),
               update_total = block_sum(sums.update, scratch);
  if (tensor.adapt == 0 || !(parameter_total > 0) || !(update_total > 0)) return 1;
  const double ratio = sqrt(parameter_total / update_total);
  return float(p.variant == ops::lamb_variant::deepspeed ? min(max(ratio, 0.01), 10.0) : ratio);
}

/// First pass: the new moments, and each tile's part of ‖p‖² and ‖u‖². The block that finishes a tensor's
/// last tile computes its ratio, from all tiles in order.
__device__ void update_moments_of(const lamb_arguments& p, const moment_rule& m, const update_tile& tile,
                                  const update_tensor& tensor) {
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
  const int tiles = int((tensor.count + tile_elements - 1) / tile_elements);
  tensor_progress& progress = p.progress[tile.tensor];
  bool is_last = false;
  if (thread_index() == 0) {
    p.tile_sums[tensor.first_tile + tile.begin / tile_elements] = {parameter_total, update_total};
    is_last = int(arrive(&progress.tiles_done)) + 1 == tiles;
  }
  if (!broadcast(int(is_last))) return;
  const float ratio = trust_ratio(p, tensor, tiles);
  if (thread_index() != 0) return;
  progress.ratio = ratio;
  if (p.trust_ratios) p.trust_ratios[tile.tensor] = ratio;
  publish(&progress.has_ratio);
}

/// Second pass: p -= rate u, with u recomputed from the new moments.
__device__ void update_parameters_of(const lamb_arguments& p, const moment_rule& m, const update_tile& tile,
                                     const update_tensor& tensor) {
  float rate = 0;
  if (thread_index() == 0) {
    wait_for(&p.progress[tile.tensor].has_ratio);
    rate =
        float(double(p.shared.learning_rates[tile.tensor]) * m.bias_factor * p.progress[tile.tensor].ratio);
  }
  block_barrier();  // before the place of the broadcast is used again
  rate = broadcast(rate);
  for_each_element<writes::parameter>(tensor, tile, [&](element& e) {
    e.parameter -= rate * update_direction(e, p.shared, m, tensor.weight_decay);
  });
}

/// Both passes in one launch, so that the second one finds most of its operands in L2. Blocks take tiles in
/// the order of the list from a counter: what a block waits for is then done by blocks that run already,
/// whatever the order in which the GPU starts blocks.
// Expected bound: HBM bandwidth; 30 bytes per parameter (p, m, v, g read; m, v, p and its bf16 copy written),
// and 12 more of tensors larger than L2. At least five blocks per SM: 80 KiB of loads in flight.
__global__ void __launch_bounds__(threads, 5) lamb_kernel(lamb_arguments p) {
  const moment_rule m = p.state->rule;
  if (!m.is_finite) return;
  const update_tile tile =
      p.list.tiles[broadcast(thread_index() == 0 ? atomic_add(&p.state->next_tile, 1) : 0)];
  const update_tensor tensor = p.list.tensors[tile.tensor];
  if (tile.pass == 0)
    update_moments_of(p, m, tile, tensor);
  else
    update_parameters_of(p, m, tile, tensor);
}

struct adamw_arguments {
  tile_list list;
  rule shared;
  const update_state* state;
};

// Expected bound: HBM bandwidth; 30 bytes per parameter (p, m, v, g read; p, m, v and the copy written). At
// least four blocks per SM: 64 KiB of loads in flight.
__global__ void __launch_bounds__(threads, 4) adamw_kernel(adamw_arguments p) {
  const moment_rule m = p.state->rule;
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

/// The thread's part of Σ g² of a tile.
template <class Sum> __device__ Sum square_sum(const update_tensor& tensor, const update_tile& tile) {
  const int64_t end = tile_end(tensor, tile);
  const int64_t wide_end = aligned(tensor) ? tile.begin + (end - tile.begin) / 4 * 4 : tile.begin;
  Sum sum = 0;
#pragma unroll 2
  for (int64_t i = tile.begin + 4 * thread_index(); i < wide_end; i += 4 * threads) {
    quad g;
    g.load(tensor.gradient + i);
    for (float x : g.x) sum += Sum(x) * Sum(x);
  }
  for (int64_t i = wide_end + thread_index(); i < end; i += threads)
    sum += Sum(tensor.gradient[i]) * Sum(tensor.gradient[i]);
  return sum;
}

// Σ g² of norm_tiles tiles each: eight squares of a thread in f32, unless they overflow, and their sums in
// f64, which many GPUs add at 1/64 of the rate. Expected bound: HBM bandwidth; 4 bytes per parameter. Five
// blocks per SM: 40 KiB of loads in flight. For six, ptxas spills on sm_120.
__global__ void __launch_bounds__(threads, 5) square_sums_kernel(tile_list list, int tiles, double* sums) {
  double sum = 0;
  for (int i = block_index() * norm_tiles; i < min(tiles, (block_index() + 1) * norm_tiles); ++i) {
    const update_tile tile = list.tiles[i];
    const update_tensor tensor = list.tensors[tile.tensor];
    const float narrow = square_sum<float>(tensor, tile);
    sum += narrow < INFINITY ? double(narrow) : square_sum<double>(tensor, tile);
  }
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) sums[block_index()] = sum;
}

// NaN if the program recorded an index out of range, so that nothing is updated.
__global__ void __launch_bounds__(norm_threads)
    norm_kernel(const double* sums, int count, const index_fault* fault, float* norm) {
  double sum = 0;
#pragma unroll 4
  for (int i = thread_index(); i < count; i += norm_threads) sum += sums[i];
  sum = block_sum(sum, shared_at<double>(0));
  if (thread_index() == 0) *norm = fault->owner == 0 ? float(sqrt(sum)) : NAN;
}

}  // namespace

template <class Op>
tiled_plan<Op>::tiled_plan(const typename Op::args& a, context&)
    : args_(a), tiles_(tensors_of(a), has_adapt<typename Op::args> ? 2 : 1) {}

template <class Op> void tiled_plan<Op>::refresh(context& c) { tiles_.refresh(tensors_of(args_), c); }

template <> void tiled_plan<ops::global_norm>::run(context& c) {
  refresh(c);
  const int blocks = (tiles_.tiles() + norm_tiles - 1) / norm_tiles;
  double* sums = c.scratch.take<double>(blocks);
  const tile_list list{tiles_.device_tensors(), tiles_.device_tiles()};
  launch(square_sums_kernel, blocks, threads, double_scratch_bytes, c.stream, list, tiles_.tiles(), sums);
  launch(norm_kernel, 1, norm_threads, norm_scratch_bytes, c.stream, sums, blocks, c.faults.memory(),
         args_.norm.as<float>());
}

template <> void tiled_plan<ops::lamb_update>::run(context& c) {
  refresh(c);
  const int tensors = tiles_.tensors();
  // The state, the progress of tensors and the sums of tiles.
  const int64_t progress_bytes = (tensors * int64_t(sizeof(tensor_progress)) + 15) / 16 * 16,
                state_bytes = (int64_t(sizeof(update_state)) + 15) / 16 * 16;
  auto* const scratch = c.scratch.take<std::byte>(state_bytes + progress_bytes +
                                                  tiles_.tiles() / 2 * int64_t(sizeof(square_sums)));
  const lamb_arguments p{{tiles_.device_tensors(), tiles_.device_tiles()},
                         rule(args_, args_.variant != ops::lamb_variant::deepspeed),
                         reinterpret_cast<update_state*>(scratch),
                         reinterpret_cast<tensor_progress*>(scratch + state_bytes),
                         reinterpret_cast<square_sums*>(scratch + state_bytes + progress_bytes),
                         args_.trust_ratios.as<float>(),
                         args_.variant};
  launch(prepare_update_kernel, 1, threads, 0, c.stream, p.shared, p.state, p.progress, p.trust_ratios,
         tensors);
  launch(lamb_kernel, tiles_.tiles(), threads, lamb_shared_bytes, c.stream, p);
}

template <> void tiled_plan<ops::adamw_update>::run(context& c) {
  refresh(c);
  auto* const state = c.scratch.take<update_state>(1);
  const adamw_arguments p{{tiles_.device_tensors(), tiles_.device_tiles()}, rule(args_, true), state};
  launch(prepare_update_kernel, 1, threads, 0, c.stream, p.shared, state, nullptr, nullptr, 0);
  launch(adamw_kernel, tiles_.tiles(), threads, 0, c.stream, p);
}

template <> void tiled_plan<ops::clamp_update>::run(context& c) {
  refresh(c);
  launch(clamp_kernel, tiles_.tiles(), threads, 0, c.stream,
         tile_list{tiles_.device_tensors(), tiles_.device_tiles()}, args_.minimum, args_.maximum);
}

template <> void tiled_plan<ops::ema_update>::run(context& c) {
  refresh(c);
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
