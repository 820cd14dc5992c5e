#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/element_type.h"
#include "cuda/kernel.h"
#include "cuda/row_team.cuh"
#include "ops/layer_norm.h"

namespace eva::cuda {
namespace {

using namespace device;

template <class T> struct arguments {
  const T *x, *residual;       // [rows, C]; residual may be null
  const float *weight, *bias;  // [C]; bias may be null
  T* y;                        // [rows, C]
  float *mean, *rstd;          // [rows]
  int64_t rows, columns;
  float eps;
  bool is_centered;  // otherwise RMS norm: the mean is taken as 0
  bool aligned;
};

/// Groups of a row of x and of the residual.
template <class T, int Groups> struct input_row { packed_group<T> x[Groups], residual[Groups]; };

// The row stays in registers, so the variance is computed from the differences from the mean, without
// cancellation; weight and bias stay there from row to row.
// Expected bound: HBM bandwidth, 90 %; reads x and residual and writes y once.
template <class T, class Team, int Groups>
__global__ void __launch_bounds__(Team::forward(Groups).threads, Team::forward(Groups).blocks)
    layer_norm_kernel(arguments<T> p) {
  Team team;
  float weight[Groups][group_columns], bias[Groups][group_columns] = {};
#pragma unroll
  for (int group = 0; group < Groups; ++group) {
    load_group(weight[group], p.weight, first_column(team, group), p.columns, p.aligned);
    if (p.bias) load_group(bias[group], p.bias, first_column(team, group), p.columns, p.aligned);
  }
  const auto load = [&](int64_t row) {
    input_row<T, Groups> loaded{};
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(team, group);
      loaded.x[group].load(p.x + row * p.columns, column, p.columns, p.aligned);
      if (p.residual && p.y)
        loaded.residual[group].load(p.residual + row * p.columns, column, p.columns, p.aligned);
    }
    return loaded;
  };
  const auto process_row = [&](int64_t row, const input_row<T, Groups>& loaded) {
    float x[Groups][group_columns], sum[1] = {}, squares[1] = {};
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      loaded.x[group].unpack(x[group]);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) sum[0] += x[group][i];
    }
    if (p.is_centered) team.add_up(sum);
    const float mean = p.is_centered ? sum[0] / float(p.columns) : 0;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int count = columns_left(first_column(team, group), p.columns);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) {
        x[group][i] -= mean;
        if (i < count) squares[0] += x[group][i] * x[group][i];
      }
    }
    team.add_up(squares);
    const float rstd = 1 / sqrtf(squares[0] / float(p.columns) + p.eps);
    if (team.member() == 0) {
      if (p.mean) p.mean[row] = mean;
      if (p.rstd) p.rstd[row] = rstd;
    }
    if (!p.y) return;
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      float y[group_columns];
      loaded.residual[group].unpack(y);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) y[i] += x[group][i] * rstd * weight[group][i] + bias[group][i];
      store_group(p.y + row * p.columns, first_column(team, group), p.columns, p.aligned, y);
    }
  };
  for_rows<loads_ahead<T, Team, Groups>>(team, p.rows, load, process_row);
}

template <class T> const T* data_of(const tensor& t) { return t.present() ? t.as<const T>() : nullptr; }

template <class T> void normalize(const ops::layer_norm::args& a, context& c) {
  const arguments<T> p{.x = a.x.as<const T>(),
                       .residual = data_of<T>(a.residual),
                       .weight = a.weight.as<const float>(),
                       .bias = data_of<float>(a.bias),
                       .y = a.y.as<T>(),
                       .mean = a.mean.as<float>(),
                       .rstd = a.rstd.as<float>(),
                       .rows = a.x.rows(),
                       .columns = a.x.columns(),
                       .eps = a.eps,
                       .is_centered = a.centered,
                       .aligned = rows_are_aligned(a.x.columns(), a.x.data, a.weight.data, a.y.data,
                                                   data_of<float>(a.bias), data_of<T>(a.residual))};
  for_row_team(ops::layer_norm::name, p.columns, [&]<class Team>(Team, auto groups, int threads) {
    constexpr int count = decltype(groups)::value;
    const int blocks = resident_blocks<Team>(p.rows, threads, Team::forward(count), c);
    launch(layer_norm_kernel<T, Team, count>, blocks, threads, Team::shared_bytes(threads, 0), c.stream, p);
  });
}

template <class T> struct backward_arguments {
  const T *dy, *x, *residual;  // [rows, C]; residual may be null
  const float *weight, *bias, *mean,
      *rstd;        // [C], [C], [rows], [rows]; bias may be null, mean is for RMS norm
  T *dx, *y;        // [rows, C]
  float* partials;  // [blocks, 3, C]: dweight, dbias and the sums of dx
  int64_t rows, columns;
  bool aligned, sums_dx;
};

template <class T, int Groups> struct gradient_row {
  packed_group<T> dy[Groups], x[Groups], residual[Groups];
  float mean, rstd;
};

template <class Team, int Groups> using dx_sums_of = shared_sums<1, Groups, Team::backward(Groups).threads>;

/// dx = rstd (g - mean(g) - normal mean(g normal)) + residual with g = dy weight; without mean(g) for RMS
/// norm. y = normal weight + bias. Each block sums the terms of dweight and dbias of its rows, and dx. The
/// registers are needed for these sums, so those of dx are in shared memory, and weight and bias are read
/// again for each row, from L1.
// Expected bound: HBM bandwidth, 90 %; reads dy, x and residual and writes dx and y once.
template <class T, class Team, int Groups>
__global__ void __launch_bounds__(Team::backward(Groups).threads, Team::backward(Groups).blocks)
    layer_norm_backward_kernel(backward_arguments<T> p) {
  Team team;
  float dweight[Groups][group_columns] = {}, dbias[Groups][group_columns] = {};
  const dx_sums_of<Team, Groups> dx_sums{shared_at<float>(Team::shared_bytes(block_threads(), Groups))};
  dx_sums.clear();
  const auto load = [&](int64_t row) {
    gradient_row<T, Groups> loaded{};
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(team, group);
      loaded.dy[group].load(p.dy + row * p.columns, column, p.columns, p.aligned);
      loaded.x[group].load(p.x + row * p.columns, column, p.columns, p.aligned);
      if (p.residual && p.dx)
        loaded.residual[group].load(p.residual + row * p.columns, column, p.columns, p.aligned);
    }
    loaded.mean = p.mean ? p.mean[row] : 0;
    loaded.rstd = p.rstd[row];
    return loaded;
  };
  const auto process_row = [&](int64_t row, const gradient_row<T, Groups>& loaded) {
    const float mean = loaded.mean, rstd = loaded.rstd;
    float sums[2] = {};  // of g and g normal
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(team, group);
      float normal[group_columns], dy[group_columns], weight[group_columns];
      loaded.x[group].unpack(normal);
      loaded.dy[group].unpack(dy);
      load_group(weight, p.weight, column, p.columns, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) {
        normal[i] = (normal[i] - mean) * rstd;
        dweight[group][i] += dy[i] * normal[i];  // dy is zero after the end of a row
        dbias[group][i] += dy[i];
        const float g = dy[i] * weight[i];
        sums[0] += g;
        sums[1] += g * normal[i];
      }
      if (!p.y) continue;
      float y[group_columns] = {};
      if (p.bias) load_group(y, p.bias, column, p.columns, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) y[i] += normal[i] * weight[i];
      store_group(p.y + row * p.columns, column, p.columns, p.aligned, y);
    }
    if (!p.dx) return;
    team.add_up(sums);
    const float g_mean = p.mean ? sums[0] / float(p.columns) : 0, g_normal_mean = sums[1] / float(p.columns);
    const auto kept = keeps_row<T, Team, Groups> ? loaded : load(row);
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(team, group);
      float x[group_columns], dy[group_columns], weight[group_columns], dx[group_columns];
      kept.x[group].unpack(x);
      kept.dy[group].unpack(dy);
      kept.residual[group].unpack(dx);
      load_group(weight, p.weight, column, p.columns, p.aligned);
#pragma unroll
      for (int i = 0; i < group_columns; ++i)
        dx[i] += rstd * (dy[i] * weight[i] - g_mean - (x[i] - mean) * rstd * g_normal_mean);
      store_rounded(p.dx + row * p.columns, column, p.columns, p.aligned, dx);
      if (p.sums_dx) dx_sums.add(0, group, dx);
    }
  };
  for_rows<loads_ahead<T, Team, Groups>>(team, p.rows, load, process_row);
  float* const partials = p.partials + 3 * block_index() * p.columns;
  team.store_sums(dweight, partials, p.columns, p.aligned);
  team.store_sums(dbias, partials + p.columns, p.columns, p.aligned);
  if (!p.sums_dx) return;
  dx_sums.load(0, dbias);
  team.store_sums(dbias, partials + 2 * p.columns, p.columns, p.aligned);
}

template <class T> void normalize_backward(const ops::layer_norm_backward::args& a, context& c) {
  backward_arguments<T> p{
      .dy = a.dy.as<const T>(),
      .x = a.x.as<const T>(),
      .residual = data_of<T>(a.residual),
      .weight = a.weight.as<const float>(),
      .bias = data_of<float>(a.bias),
      .mean = data_of<float>(a.mean),
      .rstd = a.rstd.as<const float>(),
      .dx = a.dx.as<T>(),
      .y = a.y.as<T>(),
      .partials = nullptr,
      .rows = a.x.rows(),
      .columns = a.x.columns(),
      .aligned = rows_are_aligned(a.x.columns(), a.dy.data, a.x.data, a.weight.data, a.dx.data, a.y.data,
                                  data_of<float>(a.bias), data_of<T>(a.residual)),
      .sums_dx = a.dx_sums.data != nullptr};
  for_row_team(ops::layer_norm_backward::name, p.columns, [&]<class Team>(Team, auto groups, int threads) {
    constexpr int count = decltype(groups)::value;
    const int blocks = resident_blocks<Team>(p.rows, threads, Team::backward(count), c);
    p.partials = c.scratch.take<float>(3 * blocks * p.columns);
    launch(layer_norm_backward_kernel<T, Team, count>, blocks, threads,
           Team::shared_bytes(threads, count) + dx_sums_of<Team, count>::bytes, c.stream, p);
    add_up_columns(p.partials, blocks,
                   {{a.dweight.as<float>(), p.columns},
                    {a.dbias.as<float>(), p.columns},
                    {a.dx_sums.as<float>(), p.columns}},
                   c);
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
