#include "ops/swiglu.h"

#include "cpu/column_sums.h"
#include "cpu/kernel.h"
#include "cpu/row_statistics.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr int64_t grain_elements = 16384;

int64_t grain_rows(int64_t hidden) {
  return std::max<int64_t>(1, grain_elements / std::max<int64_t>(1, hidden));
}

/// Thread-local scratch that grows to the longest row.
float* row_scratch(int64_t floats) {
  thread_local std::vector<float> memory;
  if (memory.size() < size_t(floats)) memory.resize(size_t(floats));
  return memory.data();
}

template <class X, class H> void gated(const X* x, int64_t hidden, H* h) {
  sweep(hidden, [&](int64_t i, auto width) {
    const vec gate = load(x + i, width);
    store(h + i, gate * sigmoid(gate) * load(x + hidden + i, width), width);
  });
}

/// Computes h in scratch, then its layer norm.
template <class T> void gated_norm(const ops::swiglu::args& a, int64_t row, int64_t hidden) {
  const T* x = a.x.as<T>() + row * 2 * hidden;
  float* h = row_scratch(hidden);
  gated(x, hidden, h);
  const row_statistics s = statistics_of(h, ops::swiglu_columns(a), a.eps);
  if (a.mean.data) a.mean.as<float>()[row] = s.mean;
  if (a.rstd.data) a.rstd.as<float>()[row] = s.rstd;
  if (a.y.data == nullptr) return;
  const auto *weight = a.weight.as<float>(), *bias = a.bias.as<float>();
  T* y = a.y.as<T>() + row * hidden;
  sweep(hidden, [&](int64_t i, auto width) {
    store(y + i, (load(h + i, width) - s.mean) * s.rstd * load(weight + i, width) + load(bias + i, width),
          width);
  });
}

template <class T> void forward(const ops::swiglu::args& a, const context& c) {
  const int64_t hidden = a.x.columns() / 2;
  parallel_for(c, a.x.rows(), grain_rows(hidden), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (a.weight.present())
        gated_norm<T>(a, row, hidden);
      else if (a.y.data)
        gated(a.x.as<T>() + row * 2 * hidden, hidden, a.y.as<T>() + row * hidden);
    }
  });
}

/// dgate and dvalue of h = gate σ(gate) value from dh.
template <class T, class Width>
void store_gradients(vec dh, vec gate, vec value, vec s, T* dx, int64_t hidden, Width width) {
  store(dx, dh * value * s * (1.0f + gate * (1.0f - s)), width);
  store(dx + hidden, dh * gate * s, width);
}

template <class T> void gated_backward(const T* dy, const T* x, int64_t hidden, T* dx) {
  sweep(hidden, [&](int64_t i, auto width) {
    const vec gate = load(x + i, width);
    store_gradients(load(dy + i, width), gate, load(x + hidden + i, width), sigmoid(gate), dx + i, hidden,
                    width);
  });
}

/// The same through the layer norm: with h_hat = (h - mean) rstd and g = dy weight,
/// dh = rstd (g - mean(g) - h_hat mean(g h_hat)).
template <class T>
void gated_norm_backward(const ops::swiglu_backward::args& a, int64_t row, int64_t hidden, float* dweight,
                         float* dbias, T* dx) {
  const T* dy = a.dy.as<T>() + row * hidden;
  const T* x = a.x.as<T>() + row * 2 * hidden;
  const auto* weight = a.weight.as<float>();
  const float mean = a.mean.as<float>()[row], rstd = a.rstd.as<float>()[row];
  float *sigma = row_scratch(2 * hidden), *h_hats = sigma + hidden;
  vec g_h_hat_sum{};
  const float g_sum = sum_over(hidden, [&](int64_t i, auto width) {
    const vec gate = load(x + i, width), s = sigmoid(gate), d = load(dy + i, width);
    const vec h_hat = (gate * s * load(x + hidden + i, width) - mean) * rstd;
    store(sigma + i, s, width);
    store(h_hats + i, h_hat, width);
    store(dweight + i, load(dweight + i, width) + d * h_hat, width);
    store(dbias + i, load(dbias + i, width) + d, width);
    const vec g = d * load(weight + i, width);
    g_h_hat_sum += g * h_hat;  // dy is zero beyond the end of a row
    return g;
  });
  if (a.y.data) {
    T* y = a.y.as<T>() + row * hidden;
    const float* bias = a.bias.as<float>();
    sweep(hidden, [&](int64_t i, auto width) {
      const vec scaled = load(h_hats + i, width) * load(weight + i, width);
      store(y + i, bias ? scaled + load(bias + i, width) : scaled, width);
    });
  }
  if (dx == nullptr) return;
  // Padding adds nothing to the sums: its weight is zero.
  const float columns = float(ops::swiglu_columns(a));
  const float g_mean = g_sum / columns, g_h_hat_mean = reduce_add(g_h_hat_sum) / columns;
  sweep(hidden, [&](int64_t i, auto width) {
    const vec g = load(dy + i, width) * load(weight + i, width);
    const vec dh = rstd * (g - g_mean - load(h_hats + i, width) * g_h_hat_mean);
    store_gradients(dh, load(x + i, width), load(x + hidden + i, width), load(sigma + i, width), dx + i,
                    hidden, width);
  });
}

template <class T> void backward(const ops::swiglu_backward::args& a, const context& c) {
  const int64_t hidden = a.x.columns() / 2;
  const bool norm = a.weight.present();
  // dweight and dbias in 2 F columns, and the sums of dx.
  const column_sums sums(c, 2 * hidden, a.dx_sums.data ? 2 : 1);
  parallel_for(c, a.x.rows(), grain_rows(hidden), [&](int64_t begin, int64_t end) {
    float *dweight = sums.mine(0), *dbias = dweight + hidden;
    for (int64_t row = begin; row < end; ++row) {
      const T *dy = a.dy.as<T>() + row * hidden, *x = a.x.as<T>() + row * 2 * hidden;
      T* dx = a.dx.data ? a.dx.as<T>() + row * 2 * hidden : nullptr;
      if (norm) {
        gated_norm_backward<T>(a, row, hidden, dweight, dbias, dx);
      } else {
        if (dx) gated_backward(dy, x, hidden, dx);
        if (a.y.data) gated(x, hidden, a.y.as<T>() + row * hidden);
      }
      if (a.dx_sums.data) add_rows<1>(sums.mine(1), dx, 0, 2 * hidden);
    }
  });
  sums.write(0, 0, hidden, a.dweight.as<float>());
  sums.write(0, hidden, hidden, a.dbias.as<float>());
  if (a.dx_sums.data) sums.write(1, a.dx_sums.as<float>());
}

}  // namespace

template <> void run<ops::swiglu>(const ops::swiglu::args& a, context& c) {
  a.x.type == dtype::f32 ? forward<float>(a, c) : forward<bf16>(a, c);
}

template <> void run<ops::swiglu_backward>(const ops::swiglu_backward::args& a, context& c) {
  a.x.type == dtype::f32 ? backward<float>(a, c) : backward<bf16>(a, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
