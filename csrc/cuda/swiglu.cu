#include "cuda/base_2.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/element_type.h"
#include "cuda/kernel.h"
#include "cuda/row_team.cuh"
#include "ops/swiglu.h"

namespace eva::cuda {
namespace {

using namespace device;

__device__ float sigmoid_fast(float x) { return reciprocal_fast(1 + exp2_fast(-log2_e * x)); }

template <class T> struct arguments {
  const T* x;                     // [rows, 2 F]: gate, value
  const float *weight, *bias;     // [F]; null without the layer norm
  T* y;                           // [rows, F]
  float *mean, *rstd;             // [rows]
  int64_t rows, hidden, columns;  // hidden: F; columns: F without padding
  float eps;
  bool aligned;
};

/// Groups of gate and value.
template <class T, int Groups> struct gated_row {
  packed_group<T> gate[Groups], value[Groups];

  __device__ void load(const T* row, const block_team& team, int64_t hidden, bool aligned) {
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      gate[group].load(row, first_column(team, group), hidden, aligned);
      value[group].load(row + hidden, first_column(team, group), hidden, aligned);
    }
  }
};

// y = silu(gate) ∘ value, and its layer norm if there is a weight; weight and bias stay in registers.
// Expected bound: HBM bandwidth, 90 %; reads x and writes y once.
template <class T, int Groups>
__global__ void __launch_bounds__(block_team::forward(Groups).threads, block_team::forward(Groups).blocks)
    swiglu_kernel(arguments<T> p) {
  block_team team;
  float weight[Groups][group_columns] = {}, bias[Groups][group_columns] = {};
#pragma unroll
  for (int group = 0; group < Groups && p.weight; ++group) {
    load_group(weight[group], p.weight, first_column(team, group), p.hidden, p.aligned);
    load_group(bias[group], p.bias, first_column(team, group), p.hidden, p.aligned);
  }
  const auto load = [&](int64_t row) {
    gated_row<T, Groups> loaded;
    loaded.load(p.x + row * 2 * p.hidden, team, p.hidden, p.aligned);
    return loaded;
  };
  const auto process_row = [&](int64_t row, const gated_row<T, Groups>& loaded) {
    float h[Groups][group_columns], sum[1] = {}, squares[1] = {};
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      float value[group_columns];
      loaded.gate[group].unpack(h[group]);
      loaded.value[group].unpack(value);
#pragma unroll
      for (int i = 0; i < group_columns; ++i) {
        h[group][i] *= sigmoid_fast(h[group][i]) * value[i];
        sum[0] += h[group][i];
      }
    }
    if (p.weight) {
      team.add_up(sum);
      const float mean = sum[0] / float(p.columns);
#pragma unroll
      for (int group = 0; group < Groups; ++group) {
        const int count = columns_left(first_column(team, group), p.columns);
#pragma unroll
        for (int i = 0; i < group_columns; ++i) {
          h[group][i] -= mean;
          if (i < count) squares[0] += h[group][i] * h[group][i];
        }
      }
      team.add_up(squares);
      const float rstd = 1 / sqrtf(squares[0] / float(p.columns) + p.eps);
      if (team.member() == 0) {
        if (p.mean) p.mean[row] = mean;
        if (p.rstd) p.rstd[row] = rstd;
      }
#pragma unroll
      for (int group = 0; group < Groups; ++group)
#pragma unroll
        for (int i = 0; i < group_columns; ++i)
          h[group][i] = h[group][i] * rstd * weight[group][i] + bias[group][i];
    }
    if (!p.y) return;
#pragma unroll
    for (int group = 0; group < Groups; ++group)
      store_group(p.y + row * p.hidden, first_column(team, group), p.hidden, p.aligned, h[group]);
  };
  for_rows<loads_ahead<T, block_team, Groups>>(team, p.rows, load, process_row);
}

const float* data_of(const tensor& t) { return t.present() ? t.as<const float>() : nullptr; }

template <class T> void forward(const ops::swiglu::args& a, context& c) {
  if (!a.weight.present() && a.y.data == nullptr) return;
  const int64_t hidden = a.x.columns() / 2;
  const arguments<T> p{
      .x = a.x.as<const T>(),
      .weight = data_of(a.weight),
      .bias = data_of(a.bias),
      .y = a.y.as<T>(),
      .mean = a.mean.as<float>(),
      .rstd = a.rstd.as<float>(),
      .rows = a.x.rows(),
      .hidden = hidden,
      .columns = ops::swiglu_columns(a),
      .eps = a.eps,
      .aligned = rows_are_aligned(hidden, a.x.data, a.y.data, data_of(a.weight), data_of(a.bias))};
  for_block_team(ops::swiglu::name, hidden, [&]<class Team>(Team, auto groups, int threads) {
    constexpr int count = decltype(groups)::value;
    launch(swiglu_kernel<T, count>, resident_blocks<Team>(p.rows, threads, Team::forward(count), c), threads,
           Team::shared_bytes(threads, count), c.stream, p);
  });
}

template <class T> struct backward_arguments {
  const T *dy, *x;                           // [rows, F], [rows, 2 F]
  const float *weight, *bias, *mean, *rstd;  // [F], [F], [rows], [rows]; null without the layer norm
  T *dx, *y;                                 // [rows, 2 F], [rows, F]
  float* partials;                           // [blocks, 4, F]: dbias, dweight, and the sums of dx
  int64_t rows, hidden, columns;             // hidden: F; columns: F without padding
  bool aligned, sums_dx;
};

template <class T, int Groups> struct gradient_row {
  packed_group<T> dy[Groups];
  gated_row<T, Groups> x;
  float mean, rstd;
};

/// What the gradient of h = gate σ(gate) value needs of a group.
struct gated {
  float gate[group_columns], value[group_columns], sigmoid[group_columns], h[group_columns];

  template <class T, int Groups> __device__ gated(const gated_row<T, Groups>& x, int group) {
    x.gate[group].unpack(gate);
    x.value[group].unpack(value);
#pragma unroll
    for (int i = 0; i < group_columns; ++i) {
      sigmoid[i] = sigmoid_fast(gate[i]);
      h[i] = gate[i] * sigmoid[i] * value[i];
    }
  }
};

/// The sums of columns in shared memory, at most 96 KiB. Those that are not read are stored with the others.
/// With two groups, those of dbias have no room there.
enum sum_vector : int { dweight_sums, dgate_sums, dvalue_sums, dbias_sums };
template <int Groups>
using sums_of =
    shared_sums<Groups == 1 ? dbias_sums + 1 : dbias_sums, Groups, block_team::backward(Groups).threads>;

/// dgate and dvalue from dh, and y. With a layer norm, normal = (h - mean) rstd and g = dy weight,
///   dh = rstd (g - mean(g) - normal mean(g normal)),  y = normal weight + bias
/// and otherwise dh = dy, y = h. Each block sums the terms of dweight and dbias of its rows, and dx. σ and h
/// are computed twice, and most sums are in shared memory, because registers are few.
// Expected bound: HBM bandwidth, 90 %; reads dy and x and writes dx and y once. About 40 instructions per
// element, a third of the issue slots that the memory leaves.
template <class T, int Groups, bool Norm>
__global__ void __launch_bounds__(block_team::backward(Groups).threads, block_team::backward(Groups).blocks)
    swiglu_backward_kernel(backward_arguments<T> p) {
  block_team team;
  float dbias[Groups][group_columns] = {};
  const sums_of<Groups> sums{shared_at<float>(block_team::shared_bytes(block_threads(), Groups))};
  sums.clear();
  const auto load = [&](int64_t row) {
    gradient_row<T, Groups> loaded;
#pragma unroll
    for (int group = 0; group < Groups; ++group)
      loaded.dy[group].load(p.dy + row * p.hidden, first_column(team, group), p.hidden, p.aligned);
    loaded.x.load(p.x + row * 2 * p.hidden, team, p.hidden, p.aligned);
    loaded.mean = Norm ? p.mean[row] : 0;
    loaded.rstd = Norm ? p.rstd[row] : 1;
    return loaded;
  };
  const auto process_row = [&](int64_t row, const gradient_row<T, Groups>& loaded) {
    const float mean = loaded.mean, rstd = loaded.rstd;
    float row_sums[2] = {};  // of g and g normal
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(team, group);
      gated of(loaded.x, group);
      if constexpr (Norm) {
        float dy[group_columns], weight[group_columns], terms[group_columns];
        loaded.dy[group].unpack(dy);
        load_group(weight, p.weight, column, p.hidden, p.aligned);
#pragma unroll
        for (int i = 0; i < group_columns; ++i) {
          const float normal = (of.h[i] - mean) * rstd, g = dy[i] * weight[i];
          terms[i] = dy[i] * normal;  // dy is zero after the end of a row
          if constexpr (Groups > 1) dbias[group][i] += dy[i];
          row_sums[0] += g;
          row_sums[1] += g * normal;
          of.h[i] = normal;
        }
        sums.add(dweight_sums, group, terms);
        if constexpr (Groups == 1) sums.add(dbias_sums, group, dy);
        if (p.y) {
          float bias[group_columns] = {};
          if (p.bias) load_group(bias, p.bias, column, p.hidden, p.aligned);
#pragma unroll
          for (int i = 0; i < group_columns; ++i) of.h[i] = of.h[i] * weight[i] + bias[i];
        }
      }
      if (p.y) store_group(p.y + row * p.hidden, column, p.hidden, p.aligned, of.h);
    }
    if (!p.dx) return;
    // Padding adds nothing to the sums, because its weight is zero.
    if constexpr (Norm) team.add_up(row_sums);
    const float g_mean = row_sums[0] / float(p.columns), g_normal_mean = row_sums[1] / float(p.columns);
    // From L1: the registers hold the next row.
    const auto kept = load(row);
#pragma unroll
    for (int group = 0; group < Groups; ++group) {
      const int64_t column = first_column(team, group);
      const gated of(kept.x, group);
      float dh[group_columns], dgate[group_columns], dvalue[group_columns];
      kept.dy[group].unpack(dh);
      if constexpr (Norm) {
        float weight[group_columns];
        load_group(weight, p.weight, column, p.hidden, p.aligned);
#pragma unroll
        for (int i = 0; i < group_columns; ++i)
          dh[i] = rstd * (dh[i] * weight[i] - g_mean - (of.h[i] - mean) * rstd * g_normal_mean);
      }
#pragma unroll
      for (int i = 0; i < group_columns; ++i) {
        const float s = of.sigmoid[i];
        dgate[i] = dh[i] * of.value[i] * s * (1 + of.gate[i] * (1 - s));
        dvalue[i] = dh[i] * of.gate[i] * s;
      }
      T* const dx = p.dx + row * 2 * p.hidden;
      store_rounded(dx, column, p.hidden, p.aligned, dgate);
      store_rounded(dx + p.hidden, column, p.hidden, p.aligned, dvalue);
      if (!p.sums_dx) continue;
      sums.add(dgate_sums, group, dgate);
      sums.add(dvalue_sums, group, dvalue);
    }
  };
  for_rows<loads_ahead<T, block_team, Groups>>(team, p.rows, load, process_row);
  float* const partials = p.partials + 4 * block_index() * p.hidden;
  if constexpr (Groups == 1) sums.load(dbias_sums, dbias);
  team.store_sums(dbias, partials, p.hidden, p.aligned);
  for (const int vector : {dweight_sums, dgate_sums, dvalue_sums}) {
    sums.load(vector, dbias);
    team.store_sums(dbias, partials + (1 + vector) * p.hidden, p.hidden, p.aligned);
  }
}

template <class T> void backward(const ops::swiglu_backward::args& a, context& c) {
  const bool norm = a.weight.present();
  if (!norm && a.dx.data == nullptr && a.y.data == nullptr) return;
  backward_arguments<T> p{.dy = a.dy.as<const T>(),
                          .x = a.x.as<const T>(),
                          .weight = data_of(a.weight),
                          .bias = data_of(a.bias),
                          .mean = data_of(a.mean),
                          .rstd = data_of(a.rstd),
                          .dx = a.dx.as<T>(),
                          .y = a.y.as<T>(),
                          .partials = nullptr,
                          .rows = a.x.rows(),
                          .hidden = a.x.columns() / 2,
                          .columns = ops::swiglu_columns(a),
                          .aligned = rows_are_aligned(a.x.columns() / 2, a.dy.data, a.x.data, a.dx.data,
                                                      a.y.data, data_of(a.weight), data_of(a.bias)),
                          .sums_dx = a.dx_sums.data != nullptr};
  for_block_team(ops::swiglu_backward::name, p.hidden, [&]<class Team>(Team, auto groups, int threads) {
    constexpr int count = decltype(groups)::value;
    const int blocks = resident_blocks<Team>(p.rows, threads, Team::backward(count), c);
    p.partials = c.scratch.take<float>(4 * blocks * p.hidden);
    launch(norm ? swiglu_backward_kernel<T, count, true> : swiglu_backward_kernel<T, count, false>, blocks,
           threads, Team::shared_bytes(threads, count) + sums_of<count>::bytes, c.stream, p);
    add_up_columns(p.partials, blocks,
                   {{norm ? a.dbias.as<float>() : nullptr, p.hidden},
                    {norm ? a.dweight.as<float>() : nullptr, p.hidden},
                    {a.dx_sums.as<float>(), 2 * p.hidden}},
                   c);
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
