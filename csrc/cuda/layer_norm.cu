#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/element_type.h"
#include "cuda/kernel.h"
#include "cuda/row_block.cuh"
#include "ops/layer_norm.h"

namespace eva::cuda {
namespace {

using namespace device;

template <class T> struct arguments {
  const T *x, *residual;       // [rows, C]
  const float *weight, *bias;  // [C]; bias may be null
  T* y;                        // [rows, C]
  float *mean, *rstd;          // [rows]
  int64_t rows, columns;
  float eps;
  bool is_centered;  // otherwise RMS norm: the mean is taken as 0
  bool aligned;
};

// The row stays in registers, so the variance is computed from the differences from the mean, without
// cancellation.
// Expected bound: HBM bandwidth; reads x and residual and writes y once. 1,024 threads per SM.
template <class T, int Groups>
__global__ void __launch_bounds__(max_row_threads) layer_norm_kernel(arguments<T> p) {
  const auto scratch = shared_at<float>(0);
  for (int64_t row = block_index(); row < p.rows; row += grid_blocks()) {
    float x[Groups][group_columns];
    float sum = 0, squares = 0;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      load_group(x[group], p.x + row * p.columns, first_column(group), p.columns, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) sum += x[group][i];
    }
    const float mean = p.is_centered ? block_sum(sum, scratch) / float(p.columns) : 0;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int count = columns_left(first_column(group), p.columns);
#pragma unroll
      for (int i = 0; i < group_columns; ++i)
        if (i < count) squares += (x[group][i] - mean) * (x[group][i] - mean);
    }
    const float rstd = 1 / sqrtf(block_sum(squares, scratch) / float(p.columns) + p.eps);
    if (thread_index() == 0) {
      if (p.mean) p.mean[row] = mean;
      if (p.rstd) p.rstd[row] = rstd;
    }
    if (!p.y) continue;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(group);
      float weight[group_columns], bias[group_columns] = {}, residual[group_columns] = {};
      load_group(weight, p.weight, column, p.columns, p.aligned);
      if (p.bias) load_group(bias, p.bias, column, p.columns, p.aligned);
      if (p.residual) load_group(residual, p.residual + row * p.columns, column, p.columns, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i)
        residual[i] += (x[group][i] - mean) * rstd * weight[i] + bias[i];
      store_group(p.y + row * p.columns, column, p.columns, p.aligned, residual);
    }
  }
}

template <class T> void normalize(const ops::layer_norm::args& a, context& c) {
  const arguments<T> p{a.x.as<const T>(),
                       a.residual.present() ? a.residual.as<const T>() : nullptr,
                       a.weight.as<const float>(),
                       a.bias.present() ? a.bias.as<const float>() : nullptr,
                       a.y.as<T>(),
                       a.mean.as<float>(),
                       a.rstd.as<float>(),
                       a.x.rows(),
                       a.x.columns(),
                       a.eps,
                       a.centered,
                       rows_are_aligned(a.x.columns(), a.x.data, a.weight.data, a.bias.data, a.y.data,
                                        a.residual.present() ? a.residual.data : nullptr)};
  for_row_groups(ops::layer_norm::name, p.columns, [&](auto groups, int threads) {
    launch(layer_norm_kernel<T, decltype(groups)::value>, row_blocks(p.rows, threads, c), threads,
           threads / warp_size * int(sizeof(float)), c.stream, p);
  });
}

template <class T> struct backward_arguments {
  const T *dy, *x, *residual;              // [rows, C]
  const float *weight, *mean, *rstd;       // [C], [rows], [rows]; mean is null for RMS norm
  T* dx;                                   // [rows, C]
  float *weight_partials, *bias_partials;  // [blocks, C]
  int64_t rows, columns;
  bool aligned;
};

/// dx = rstd (g - mean(g) - normal mean(g normal)) + residual with g = dy weight; without mean(g) for RMS
/// norm. Each block sums the terms of dweight and dbias of its rows.
// Expected bound: HBM bandwidth; reads dy, x and residual and writes dx once. 1,024 threads per SM.
template <class T, int Groups>
__global__ void __launch_bounds__(max_row_threads) layer_norm_backward_kernel(backward_arguments<T> p) {
  const auto scratch = shared_at<float>(0);
  float dweight[Groups][group_columns] = {}, dbias[Groups][group_columns] = {};
  for (int64_t row = block_index(); row < p.rows; row += grid_blocks()) {
    const float mean = p.mean ? p.mean[row] : 0, rstd = p.rstd[row];
    float normal[Groups][group_columns], g[Groups][group_columns];
    float g_sum = 0, g_normal_sum = 0;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(group);
      float weight[group_columns];
      load_group(normal[group], p.x + row * p.columns, column, p.columns, p.aligned);
      load_group(g[group], p.dy + row * p.columns, column, p.columns, p.aligned);
      load_group(weight, p.weight, column, p.columns, p.aligned);
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
    const float g_mean = p.mean ? block_sum(g_sum, scratch) / float(p.columns) : 0;
    const float g_normal_mean = block_sum(g_normal_sum, scratch) / float(p.columns);
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(group);
      float dx[group_columns] = {};
      if (p.residual) load_group(dx, p.residual + row * p.columns, column, p.columns, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i)
        dx[i] += rstd * (g[group][i] - g_mean - normal[group][i] * g_normal_mean);
      store_group(p.dx + row * p.columns, column, p.columns, p.aligned, dx);
    }
  }
#pragma unroll
  for (int group = 0; group < Groups; ++group) {
    store_group(p.weight_partials + int64_t(block_index()) * p.columns, first_column(group), p.columns,
                p.aligned, dweight[group]);
    store_group(p.bias_partials + int64_t(block_index()) * p.columns, first_column(group), p.columns,
                p.aligned, dbias[group]);
  }
}

template <class T> void normalize_backward(const ops::layer_norm_backward::args& a, context& c) {
  backward_arguments<T> p{a.dy.as<const T>(),
                          a.x.as<const T>(),
                          a.residual.present() ? a.residual.as<const T>() : nullptr,
                          a.weight.as<const float>(),
                          a.mean.present() ? a.mean.as<const float>() : nullptr,
                          a.rstd.as<const float>(),
                          a.dx.as<T>(),
                          nullptr,
                          nullptr,
                          a.x.rows(),
                          a.x.columns(),
                          rows_are_aligned(a.x.columns(), a.dy.data, a.x.data, a.weight.data, a.dx.data,
                                           a.residual.present() ? a.residual.data : nullptr)};
  for_row_groups(ops::layer_norm_backward::name, p.columns, [&](auto groups, int threads) {
    const int blocks = row_blocks(p.rows, threads, c);
    p.weight_partials = c.scratch.take<float>(2 * blocks * p.columns);
    p.bias_partials = p.weight_partials + blocks * p.columns;
    launch(layer_norm_backward_kernel<T, decltype(groups)::value>, blocks, threads,
           threads / warp_size * int(sizeof(float)), c.stream, p);
    add_up_columns(p.weight_partials, blocks, p.columns, a.dweight.as<float>(), c);
    add_up_columns(p.bias_partials, blocks, p.columns, a.dbias.as<float>(), c);
  });
}

}  // namespace

template <> void run<ops::layer_norm>(const ops::layer_norm::args& a, context& c) {
  for_element_type(a.x.type, [&]<class T>(T*) { normalize<T>(a, c); });
}

template <> void run<ops::layer_norm_backward>(const ops::layer_norm_backward::args& a, context& c) {
  for_element_type(a.x.type, [&]<class T>(T*) { normalize_backward<T>(a, c); });
}

}  // namespace eva::cuda
