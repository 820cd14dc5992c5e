#include "ops/layer_norm.h"

#include "cpu/column_sums.h"
#include "cpu/kernel.h"
#include "cpu/row_statistics.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr int64_t grain_elements = 16384;

int64_t grain_rows(int64_t columns) {
  return std::max<int64_t>(1, grain_elements / std::max<int64_t>(1, columns));
}

template <class T> void normalize(const ops::layer_norm::args& a, const context& c) {
  const int64_t columns = a.x.columns();
  const auto* weight = a.weight.as<float>();
  const float* bias = a.bias.present() ? a.bias.as<float>() : nullptr;
  parallel_for(c, a.x.rows(), grain_rows(columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = a.x.as<T>() + row * columns;
      const row_statistics s = a.centered ? statistics_of(x, columns, a.eps)  //
                                          : rms_statistics_of(x, columns, a.eps);
      if (a.mean.data) a.mean.as<float>()[row] = s.mean;
      if (a.rstd.data) a.rstd.as<float>()[row] = s.rstd;
      if (a.y.data == nullptr) continue;
      T* y = a.y.as<T>() + row * columns;
      const auto normalized = [&](int64_t i, auto width) {
        const vec scaled = (load(x + i, width) - s.mean) * s.rstd * load(weight + i, width);
        return bias ? scaled + load(bias + i, width) : scaled;
      };
      if (a.residual.present()) {
        const T* residual = a.residual.as<T>() + row * columns;
        sweep(columns, [&](int64_t i, auto width) {
          store(y + i, normalized(i, width) + load(residual + i, width), width);
        });
      } else {
        sweep(columns, [&](int64_t i, auto width) { store(y + i, normalized(i, width), width); });
      }
    }
  });
}

/// Rows per block in the backward pass: their contributions to dweight and dbias are summed in registers.
constexpr int block_rows = 4;

template <class T, int Rows> struct row_block {
  const T* dy[Rows];
  const T* x[Rows];
  float mean[Rows], rstd[Rows];

  row_block(const ops::layer_norm_backward::args& a, int64_t first) {
    const int64_t columns = a.x.columns();
    for (int64_t r = 0; r < Rows; ++r) {
      dy[r] = a.dy.as<T>() + (first + r) * columns;
      x[r] = a.x.as<T>() + (first + r) * columns;
      mean[r] = a.mean.present() ? a.mean.as<float>()[first + r] : 0.0f;
      rstd[r] = a.rstd.as<float>()[first + r];
    }
  }
};

/// Sums over a row that every element of dx needs.
struct row_sums {
  float g, g_x_hat;  // Σ g and Σ g x_hat, with g = dy weight and x_hat the normalized x
};

/// Computes the sums of each row, and accumulates dweight and dbias.
template <class T, int Rows>
void reduce_rows(const row_block<T, Rows>& block, const float* weight, int64_t columns, float* dweight,
                 float* dbias, row_sums* sums) {
  vec g_sum[Rows]{}, g_x_hat_sum[Rows]{};
  sweep(columns, [&](int64_t i, auto width) {
    const vec w = load(weight + i, width);
    vec dw{}, db{};
    for (int r = 0; r < Rows; ++r) {
      const vec dy = load(block.dy[r] + i, width);
      const vec x_hat = (load(block.x[r] + i, width) - block.mean[r]) * block.rstd[r];
      const vec g = dy * w;
      g_sum[r] += g;  // dy is zero beyond the end of a row
      g_x_hat_sum[r] += g * x_hat;
      dw += dy * x_hat;
      db += dy;
    }
    store(dweight + i, load(dweight + i, width) + dw, width);
    store(dbias + i, load(dbias + i, width) + db, width);
  });
  for (int r = 0; r < Rows; ++r) sums[r] = {reduce_add(g_sum[r]), reduce_add(g_x_hat_sum[r])};
}

/// dx = rstd (g - mean(g) - x_hat mean(g x_hat)) + residual, with g = dy weight; without mean(g) for RMSNorm.
template <class T, int Rows>
void write_row(const row_block<T, Rows>& block, int r, const float* weight, row_sums sums, bool centered,
               const T* residual, T* dx, int64_t columns) {
  const float mean = block.mean[r], rstd = block.rstd[r];
  const float g_mean = centered ? sums.g / float(columns) : 0.0f;
  const float g_x_hat_mean = sums.g_x_hat / float(columns);
  const auto gradient = [&](int64_t i, auto width) {
    const vec x_hat = (load(block.x[r] + i, width) - mean) * rstd;
    return rstd * (load(block.dy[r] + i, width) * load(weight + i, width) - g_mean - x_hat * g_x_hat_mean);
  };
  if (residual)
    sweep(columns, [&](int64_t i, auto width) {
      store(dx + i, gradient(i, width) + load(residual + i, width), width);
    });
  else
    sweep(columns, [&](int64_t i, auto width) { store(dx + i, gradient(i, width), width); });
}

/// y = x_hat weight + bias
template <class T, int Rows>
void recompute_row(const row_block<T, Rows>& block, int r, const float* weight, const float* bias, T* y,
                   int64_t columns) {
  const float mean = block.mean[r], rstd = block.rstd[r];
  sweep(columns, [&](int64_t i, auto width) {
    const vec scaled = (load(block.x[r] + i, width) - mean) * rstd * load(weight + i, width);
    store(y + i, bias ? scaled + load(bias + i, width) : scaled, width);
  });
}

template <class T> void normalize_backward(const ops::layer_norm_backward::args& a, const context& c) {
  const int64_t columns = a.x.columns();
  const auto* weight = a.weight.as<float>();
  const float* bias = a.bias.present() ? a.bias.as<float>() : nullptr;
  const column_sums parameters(c, columns, a.dx_sums.data ? 3 : 2);
  parallel_for(c, a.x.rows(), grain_rows(columns), [&](int64_t begin, int64_t end) {
    float *dweight = parameters.mine(0), *dbias = parameters.mine(1);
    const auto process = [&]<int Rows>(std::integral_constant<int, Rows>, int64_t row) {
      const row_block<T, Rows> block(a, row);
      row_sums sums[Rows];
      reduce_rows(block, weight, columns, dweight, dbias, sums);
      T* dx = a.dx.data ? a.dx.as<T>() + row * columns : nullptr;
      for (int r = 0; r < Rows; ++r) {
        const int64_t first = (row + r) * columns;
        const T* residual = a.residual.present() ? a.residual.as<T>() + first : nullptr;
        if (dx) write_row(block, r, weight, sums[r], a.mean.present(), residual, dx + r * columns, columns);
        if (a.y.data) recompute_row(block, r, weight, bias, a.y.as<T>() + first, columns);
      }
      if (a.dx_sums.data) add_rows<Rows>(parameters.mine(2), dx, columns, columns);
    };
    int64_t row = begin;
    for (; row + block_rows <= end; row += block_rows)
      process(std::integral_constant<int, block_rows>{}, row);
    for (; row < end; ++row) process(std::integral_constant<int, 1>{}, row);
  });
  parameters.write(0, a.dweight.as<float>());
  parameters.write(1, a.dbias.as<float>());
  if (a.dx_sums.data) parameters.write(2, a.dx_sums.as<float>());
}

}  // namespace

template <> void run<ops::layer_norm>(const ops::layer_norm::args& a, context& c) {
  a.x.type == dtype::f32 ? normalize<float>(a, c) : normalize<bf16>(a, c);
}

template <> void run<ops::layer_norm_backward>(const ops::layer_norm_backward::args& a, context& c) {
  a.x.type == dtype::f32 ? normalize_backward<float>(a, c) : normalize_backward<bf16>(a, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
