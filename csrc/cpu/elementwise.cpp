#include "ops/elementwise.h"

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr int64_t grain = 8192;

/// Calls body with a null pointer of the element type of a float tensor.
template <class Body> void for_element_type(const tensor& t, const Body& body) {
  t.type == dtype::f32 ? body(static_cast<float*>(nullptr)) : body(static_cast<bf16*>(nullptr));
}

/// y = f(x) element by element.
template <class From, class To, class Function>
void map(const context& c, const From* x, To* y, int64_t count, const Function& f) {
  parallel_for(c, count, grain, [&](int64_t begin, int64_t end) {
    sweep(end - begin,
          [&](int64_t i, auto width) { store(y + begin + i, f(load(x + begin + i, width)), width); });
  });
}

template <class Args, class Function> void unary(const Args& a, const context& c, const Function& f) {
  for_element_type(a.x,
                   [&]<class T>(T*) { map(c, a.x.template as<T>(), a.y.template as<T>(), a.y.size(), f); });
}

/// y = f(a, b) with b repeated along the leading dimensions of a.
template <class A, class B, class Function>
void combine(const context& c, const A* a, const B* b, A* y, int64_t count, int64_t period,
             const Function& f) {
  if (period == 1) return map(c, a, y, count, [&](vec x) { return f(x, broadcast(float(b[0]))); });
  parallel_for(c, count / period, std::max<int64_t>(1, grain / period), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      sweep(period, [&](int64_t i, auto width) {
        store(y + row * period + i, f(load(a + row * period + i, width), load(b + i, width)), width);
      });
  });
}

/// The same where both have one shape, so that one long row still feeds every thread.
template <class A, class B, class Function>
void combine_all(const context& c, const A* a, const B* b, A* y, int64_t count, const Function& f) {
  parallel_for(c, count, grain, [&](int64_t begin, int64_t end) {
    sweep(end - begin, [&](int64_t i, auto width) {
      store(y + begin + i, f(load(a + begin + i, width), load(b + begin + i, width)), width);
    });
  });
}

template <class Args, class Function> void binary(const Args& args, const context& c, const Function& f) {
  const int64_t count = args.a.size(), period = args.b.size();
  for_element_type(args.a, [&]<class A>(A*) {
    for_element_type(args.b, [&]<class B>(B*) {
      const A* a = args.a.template as<A>();
      const B* b = args.b.template as<B>();
      A* y = args.y.template as<A>();
      if (period == count)
        combine_all(c, a, b, y, count, f);
      else if (count > 0)
        combine(c, a, b, y, count, period, f);
    });
  });
}

template <class Args, class Function>
void activation_gradient(const Args& args, const context& c, const Function& f) {
  for_element_type(args.dy, [&]<class A>(A*) {
    for_element_type(args.x, [&]<class B>(B*) {
      combine_all(c, args.dy.template as<A>(), args.x.template as<B>(), args.dx.template as<A>(),
                  args.dx.size(), [&](vec dy, vec x) { return dy * f(x); });
    });
  });
}

/// Φ(x), the normal distribution function.
vec normal_distribution(vec x) { return 0.5f * (1.0f + erf(x * 0.70710678f)); }

/// Φ(x) + x φ(x), the derivative of x Φ(x).
vec gelu_slope(vec x) { return normal_distribution(x) + x * 0.39894228f * exp(-0.5f * x * x); }

vec quick_gelu_slope(vec x) {
  const vec s = sigmoid(1.702f * x);
  return s + 1.702f * x * s * (1.0f - s);
}

/// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). For small e, log(1 + e) = e log(1 + e) / ((1 + e) - 1) makes
/// good what 1 + e rounds away (Higham 2002, section 1.14).
vec soft_plus(vec x) {
  const vec e = exp(-absolute(x)), sum = 1.0f + e, grown = sum - 1.0f;
  const vec tail = select(grown == 0.0f, e, log(sum) * (e / select(grown == 0.0f, broadcast(1.0f), grown)));
  return maximum(x, vec{}) + tail;
}

}  // namespace

template <> void run<ops::add>(const ops::add::args& a, context& c) {
  binary(a, c, [](vec x, vec y) { return x + y; });
}
template <> void run<ops::subtract>(const ops::subtract::args& a, context& c) {
  binary(a, c, [](vec x, vec y) { return x - y; });
}
template <> void run<ops::multiply>(const ops::multiply::args& a, context& c) {
  binary(a, c, [](vec x, vec y) { return x * y; });
}
template <> void run<ops::divide>(const ops::divide::args& a, context& c) {
  binary(a, c, [](vec x, vec y) { return x / y; });
}

template <> void run<ops::exp>(const ops::exp::args& a, context& c) {
  unary(a, c, [](vec x) { return exp(x); });
}
template <> void run<ops::log>(const ops::log::args& a, context& c) {
  unary(a, c, [](vec x) { return log(x); });
}
template <> void run<ops::sqrt>(const ops::sqrt::args& a, context& c) {
  unary(a, c, [](vec x) { return sqrt(x); });
}
template <> void run<ops::tanh>(const ops::tanh::args& a, context& c) {
  unary(a, c, [](vec x) { return tanh(x); });
}
template <> void run<ops::sigmoid>(const ops::sigmoid::args& a, context& c) {
  unary(a, c, [](vec x) { return sigmoid(x); });
}
template <> void run<ops::softplus>(const ops::softplus::args& a, context& c) {
  unary(a, c, [](vec x) { return soft_plus(x); });
}
template <> void run<ops::gelu>(const ops::gelu::args& a, context& c) {
  unary(a, c, [](vec x) { return x * normal_distribution(x); });
}
template <> void run<ops::quick_gelu>(const ops::quick_gelu::args& a, context& c) {
  unary(a, c, [](vec x) { return x * sigmoid(1.702f * x); });
}
template <> void run<ops::gelu_backward>(const ops::gelu_backward::args& a, context& c) {
  activation_gradient(a, c, [](vec x) { return gelu_slope(x); });
}
template <> void run<ops::quick_gelu_backward>(const ops::quick_gelu_backward::args& a, context& c) {
  activation_gradient(a, c, [](vec x) { return quick_gelu_slope(x); });
}
template <> void run<ops::scale>(const ops::scale::args& a, context& c) {
  unary(a, c, [&](vec x) { return x * a.factor + a.offset; });
}
template <> void run<ops::cast>(const ops::cast::args& a, context& c) {
  for_element_type(a.x, [&]<class From>(From*) {
    for_element_type(a.y, [&]<class To>(To*) {
      map(c, a.x.as<From>(), a.y.as<To>(), a.y.size(), [](vec x) { return x; });
    });
  });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
