#include "cuda/base_2.h"
#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/element_type.h"
#include "cuda/kernel.h"
#include "cuda/row_block.cuh"
#include "ops/swiglu.h"

namespace eva::cuda {
namespace {

using namespace device;

__device__ float sigmoid_fast(float x) { return 1 / (1 + exp2_fast(-log2_e * x)); }

template <class T> struct arguments {
  const T* x;                     // [rows, 2 F]: gate, value
  const float *weight, *bias;     // [F]; null without the layer norm
  T* y;                           // [rows, F]
  float *mean, *rstd;             // [rows]
  int64_t rows, hidden, columns;  // hidden: F; columns: F without padding
  float eps;
  bool aligned;
};

/// h = silu(gate) ∘ value of the thread's columns
template <class T>
__device__ void load_gated(float (&h)[group_columns], const T* x, int64_t column, int64_t hidden,
                           bool aligned) {
  float value[group_columns];
  load_group(h, x, column, hidden, aligned);
  load_group(value, x + hidden, column, hidden, aligned);
#pragma unroll
  for (int i = 0; i < group_columns; ++i) h[i] *= sigmoid_fast(h[i]) * value[i];
}

// y = silu(gate) ∘ value, and its layer norm if there is a weight.
// Expected bound: HBM bandwidth; reads x and writes y once. 1,024 threads per SM.
template <class T, int Groups>
__global__ void __launch_bounds__(max_row_threads) swiglu_kernel(arguments<T> p) {
  const auto scratch = shared_at<float>(0);
  for (int64_t row = block_index(); row < p.rows; row += grid_blocks()) {
    float h[Groups][group_columns];
    float sum = 0, squares = 0;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      load_gated(h[group], p.x + row * 2 * p.hidden, first_column(group), p.hidden, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) sum += h[group][i];
    }
    float mean = 0, rstd = 1;
    if (p.weight) {
      mean = block_sum(sum, scratch) / float(p.columns);
#pragma unroll
      for (int group = 0; group < Groups; ++group) {
        const int count = columns_left(first_column(group), p.columns);
#pragma unroll
        for (int i = 0; i < group_columns; ++i)
          if (i < count) squares += (h[group][i] - mean) * (h[group][i] - mean);
      }
      rstd = 1 / sqrtf(block_sum(squares, scratch) / float(p.columns) + p.eps);
      if (thread_index() == 0) {
        if (p.mean) p.mean[row] = mean;
        if (p.rstd) p.rstd[row] = rstd;
      }
    }
    if (!p.y) continue;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(group);
      if (p.weight) {
        float weight[group_columns], bias[group_columns];
        load_group(weight, p.weight, column, p.hidden, p.aligned);
        load_group(bias, p.bias, column, p.hidden, p.aligned);
#pragma unroll
        for (int i = 0; i < group_columns; ++i)
          h[group][i] = (h[group][i] - mean) * rstd * weight[i] + bias[i];
      }
      store_group(p.y + row * p.hidden, column, p.hidden, p.aligned, h[group]);
    }
  }
}

template <class T> void forward(const ops::swiglu::args& a, context& c) {
  const bool norm = a.weight.present();
  if (!norm && a.y.data == nullptr) return;
  const int64_t hidden = a.x.columns() / 2;
  const arguments<T> p{a.x.as<const T>(),
                       norm ? a.weight.as<const float>() : nullptr,
                       norm ? a.bias.as<const float>() : nullptr,
                       a.y.as<T>(),
                       a.mean.as<float>(),
                       a.rstd.as<float>(),
                       a.x.rows(),
                       hidden,
                       ops::swiglu_columns(a),
                       a.eps,
                       rows_are_aligned(hidden, a.x.data, a.y.data, norm ? a.weight.data : nullptr,
                                        norm ? a.bias.data : nullptr)};
  for_row_groups(ops::swiglu::name, hidden, [&](auto groups, int threads) {
    launch(swiglu_kernel<T, decltype(groups)::value>, row_blocks(p.rows, threads, c), threads,
           threads / warp_size * int(sizeof(float)), c.stream, p);
  });
}

template <class T> struct backward_arguments {
  const T *dy, *x;                         // [rows, F], [rows, 2 F]
  const float *weight, *mean, *rstd;       // [F], [rows], [rows]; null without the layer norm
  T* dx;                                   // [rows, 2 F]
  float *weight_partials, *bias_partials;  // [blocks, F]
  int64_t rows, hidden, columns;           // hidden: F; columns: F without padding
  bool aligned;
};

/// Stores dgate and dvalue of h = gate σ(gate) value, from dh.
template <class T>
__device__ void store_gradients(const backward_arguments<T>& p, int64_t row, int64_t column,
                                const float (&dh)[group_columns]) {
  const T* x = p.x + row * 2 * p.hidden;
  T* dx = p.dx + row * 2 * p.hidden;
  float gate[group_columns], value[group_columns];
  load_group(gate, x, column, p.hidden, p.aligned);
  load_group(value, x + p.hidden, column, p.hidden, p.aligned);
#pragma unroll
  for (int i = 0; i < group_columns; ++i) {
    const float s = sigmoid_fast(gate[i]), g = gate[i];
    gate[i] = dh[i] * value[i] * s * (1 + g * (1 - s));
    value[i] = dh[i] * g * s;
  }
  store_group(dx, column, p.hidden, p.aligned, gate);
  store_group(dx + p.hidden, column, p.hidden, p.aligned, value);
}

// Without the layer norm.
// Expected bound: HBM bandwidth; reads dy and x and writes dx once. 1,024 threads per SM.
template <class T, int Groups>
__global__ void __launch_bounds__(max_row_threads) swiglu_backward_kernel(backward_arguments<T> p) {
  for (int64_t row = block_index(); row < p.rows; row += grid_blocks())
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      float dh[group_columns];
      load_group(dh, p.dy + row * p.hidden, first_column(group), p.hidden, p.aligned);
      store_gradients(p, row, first_column(group), dh);
    }
}

/// With the layer norm: with normal = (h - mean) rstd and g = dy weight, dh = rstd (g - mean(g) - normal
/// mean(g normal)).
// Expected bound: HBM bandwidth; reads dy and x (the second time from L1 or L2), writes dx. 1,024 threads per
// SM.
template <class T, int Groups>
__global__ void __launch_bounds__(max_row_threads) swiglu_norm_backward_kernel(backward_arguments<T> p) {
  const auto scratch = shared_at<float>(0);
  float dweight[Groups][group_columns] = {}, dbias[Groups][group_columns] = {};
  for (int64_t row = block_index(); row < p.rows; row += grid_blocks()) {
    const float mean = p.mean[row], rstd = p.rstd[row];
    float normal[Groups][group_columns], g[Groups][group_columns];
    float g_sum = 0, g_normal_sum = 0;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(group);
      float weight[group_columns];
      load_gated(normal[group], p.x + row * 2 * p.hidden, column, p.hidden, p.aligned);
      load_group(g[group], p.dy + row * p.hidden, column, p.hidden, p.aligned);
      load_group(weight, p.weight, column, p.hidden, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) {
        normal[group][i] = (normal[group][i] - mean) * rstd;
        dweight[group][i] += g[group][i] * normal[group][i];  // dy is zero after the end of a row
        dbias[group][i] += g[group][i];
        g[group][i] *= weight[i];
        g_sum += g[group][i];
        g_normal_sum += g[group][i] * normal[group][i];
      }
    }
    if (!p.dx) continue;
    // Padding adds nothing to the sums, because its weight is zero.
    const float g_mean = block_sum(g_sum, scratch) / float(p.columns);
    const float g_normal_mean = block_sum(g_normal_sum, scratch) / float(p.columns);
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
#pragma unroll
      for (int i = 0; i < group_columns; ++i)
        g[group][i] = rstd * (g[group][i] - g_mean - normal[group][i] * g_normal_mean);
      store_gradients(p, row, first_column(group), g[group]);
    }
  }
#pragma unroll
  for (int group = 0; group < Groups; ++group) {
    store_group(p.weight_partials + int64_t(block_index()) * p.hidden, first_column(group), p.hidden,
                p.aligned, dweight[group]);
    store_group(p.bias_partials + int64_t(block_index()) * p.hidden, first_column(group), p.hidden, p.aligned,
                dbias[group]);
  }
}

template <class T> void backward(const ops::swiglu_backward::args& a, context& c) {
  const bool norm = a.weight.present();
  if (!norm && a.dx.data == nullptr) return;
  backward_arguments<T> p{};
  p.dy = a.dy.as<const T>();
  p.x = a.x.as<const T>();
  p.dx = a.dx.as<T>();
  p.rows = a.x.rows();
  p.hidden = a.x.columns() / 2;
  p.columns = ops::swiglu_columns(a);
  p.aligned = rows_are_aligned(p.hidden, a.dy.data, a.x.data, a.dx.data, norm ? a.weight.data : nullptr);
  for_row_groups(ops::swiglu_backward::name, p.hidden, [&](auto groups, int threads) {
    constexpr int count = decltype(groups)::value;
    const int blocks = row_blocks(p.rows, threads, c),
              shared_bytes = threads / warp_size * int(sizeof(float));
    if (!norm) return launch(swiglu_backward_kernel<T, count>, blocks, threads, 0, c.stream, p);
    p.weight = a.weight.as<const float>();
    p.mean = a.mean.as<const float>();
    p.rstd = a.rstd.as<const float>();
    p.weight_partials = c.scratch.take<float>(2 * blocks * p.hidden);
    p.bias_partials = p.weight_partials + blocks * p.hidden;
    launch(swiglu_norm_backward_kernel<T, count>, blocks, threads, shared_bytes, c.stream, p);
    add_up_columns(p.weight_partials, blocks, p.hidden, a.dweight.as<float>(), c);
    add_up_columns(p.bias_partials, blocks, p.hidden, a.dbias.as<float>(), c);
  });
}

}  // namespace

template <> void run<ops::swiglu>(const ops::swiglu::args& a, context& c) {
  for_element_type(a.x.type, [&]<class T>(T*) { forward<T>(a, c); });
}

template <> void run<ops::swiglu_backward>(const ops::swiglu_backward::args& a, context& c) {
  for_element_type(a.x.type, [&]<class T>(T*) { backward<T>(a, c); });
}

}  // namespace eva::cuda
