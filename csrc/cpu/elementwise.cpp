#include "ops/elementwise.h"

#include "cpu/activation.h"
#include "cpu/column_sums.h"
#include "cpu/element_type.h"
#include "cpu/kernel.h"
#include "cpu/parallel.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// Minimum number of elements per thread.
constexpr int64_t grain = 32768;

/// y = f(x)
template <class Function> void map(const tensor& x, const tensor& y, const context& c, const Function& f) {
  for_element_types(x.type, y.type, [&]<class X, class Y>(X*, Y*) {
    parallel_for(c, y.size(), grain, [&](int64_t begin, int64_t end) {
      const X* from = x.as<X>() + begin;
      Y* to = y.as<Y>() + begin;
      sweep(end - begin, [&](int64_t i, auto width) { store(to + i, f(load(from + i, width)), width); });
    });
  });
}

/// y = f(a, b) with b broadcast over the leading dimensions: y[i] = f(a[i], b[i mod size(b)]).
template <class Function>
void zip(const tensor& a, const tensor& b, const tensor& y, const context& c, const Function& f) {
  const int64_t period = b.size();
  for_element_types(a.type, b.type, [&]<class A, class B>(A*, B*) {
    parallel_for(c, y.size(), grain, [&](int64_t begin, int64_t end) {
      const A* from = a.as<A>();
      const B* repeated = b.as<B>();
      A* to = y.as<A>();
      if (period == 1) {
        const vec scalar = broadcast(float(*repeated));
        sweep(end - begin, [&](int64_t i, auto width) {
          store(to + begin + i, f(load(from + begin + i, width), scalar), width);
        });
        return;
      }
      for (int64_t first = begin; first < end;) {
        const int64_t phase = first % period, count = std::min(end - first, period - phase);
        sweep(count, [&](int64_t i, auto width) {
          const vec other = load(repeated + phase + i, width);
          store(to + first + i, f(load(from + first + i, width), other), width);
        });
        first += count;
      }
    });
  });
}

/// dx = dy f'(x), row by row if the column sums of dx are read.
template <class Args, class Derivative>
void activation_backward(const Args& a, const context& c, const Derivative& derivative) {
  if (a.dx_sums.data == nullptr)
    return zip(a.dy, a.x, a.dx, c, [&](vec dy, vec x) { return dy * derivative(x); });
  const int64_t columns = a.x.columns();
  const column_sums sums(c, columns, 1);
  for_element_types(a.dy.type, a.x.type, [&]<class D, class X>(D*, X*) {
    parallel_for(c, a.x.rows(), std::max<int64_t>(1, grain / std::max<int64_t>(1, columns)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; ++row) {
                     const D* dy = a.dy.template as<D>() + row * columns;
                     const X* x = a.x.template as<X>() + row * columns;
                     D* dx = a.dx.template as<D>() + row * columns;
                     sweep(columns, [&](int64_t i, auto width) {
                       store(dx + i, load(dy + i, width) * derivative(load(x + i, width)), width);
                     });
                     add_rows<1>(sums.mine(0), dx, 0, columns);
                   }
                 });
  });
  sums.write(0, a.dx_sums.template as<float>());
}

/// max(x, 0) + log(1 + e^-|x|), with log(1 + u) = u log(v) / (v - 1) for v the rounded 1 + u, which is
/// accurate for small u (Kahan).
vec softplus(vec x) {
  const vec u = exp(-absolute(x)), v = 1.0f + u;
  const vec log_v = select(v == 1.0f, u, log(v) * (u / (v - 1.0f)));
  return maximum(vec{}, x) + log_v;
}

}  // namespace

template <> void run<ops::add>(const ops::add::args& a, context& c) {
  zip(a.a, a.b, a.y, c, [](vec x, vec y) { return x + y; });
}
template <> void run<ops::subtract>(const ops::subtract::args& a, context& c) {
  zip(a.a, a.b, a.y, c, [](vec x, vec y) { return x - y; });
}
template <> void run<ops::multiply>(const ops::multiply::args& a, context& c) {
  zip(a.a, a.b, a.y, c, [](vec x, vec y) { return x * y; });
}
template <> void run<ops::divide>(const ops::divide::args& a, context& c) {
  zip(a.a, a.b, a.y, c, [](vec x, vec y) { return x / y; });
}

template <> void run<ops::exp>(const ops::exp::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return exp(x); });
}
template <> void run<ops::log>(const ops::log::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return log(x); });
}
template <> void run<ops::sqrt>(const ops::sqrt::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return sqrt(x); });
}
template <> void run<ops::tanh>(const ops::tanh::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return tanh(x); });
}
template <> void run<ops::sigmoid>(const ops::sigmoid::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return sigmoid(x); });
}
template <> void run<ops::softplus>(const ops::softplus::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return softplus(x); });
}
template <> void run<ops::gelu>(const ops::gelu::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return gelu(x); });
}
template <> void run<ops::quick_gelu>(const ops::quick_gelu::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return quick_gelu(x); });
}

template <> void run<ops::gelu_backward>(const ops::gelu_backward::args& a, context& c) {
  activation_backward(a, c, [](vec x) { return gelu_derivative(x); });
}
template <> void run<ops::quick_gelu_backward>(const ops::quick_gelu_backward::args& a, context& c) {
  activation_backward(a, c, [](vec x) { return quick_gelu_derivative(x); });
}

template <> void run<ops::scale>(const ops::scale::args& a, context& c) {
  map(a.x, a.y, c, [factor = a.factor, offset = a.offset](vec x) { return x * factor + offset; });
}
template <> void run<ops::cast>(const ops::cast::args& a, context& c) {
  map(a.x, a.y, c, [](vec x) { return x; });
}
template <> void run<ops::cast_update>(const ops::cast_update::args& a, context& c) {
  for (size_t i = 0; i < a.copies.size(); ++i) map(a.parameters[i], a.copies[i], c, [](vec x) { return x; });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
