#include "cuda/activation.cuh"
#include "cuda/column_sums.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/elementwise.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;

template <class Function, class X, class Y>
__global__ void __launch_bounds__(threads)
    map_kernel(Function f, const X* x, Y* y, int64_t count, bool grouped) {
  const auto body = [&]<int Count>(int64_t i, width<Count>) {
    float values[Count];
    load_elements(x + i, values);
    for (float& value : values) value = f(value);
    store_elements(y + i, values);
  };
  for_groups<group>(count, body, grouped);
}

template <class X, class Y, class Function>
void launch_map(const tensor& x, const tensor& y, const context& c, Function f) {
  launch(map_kernel<Function, X, Y>, blocks_of(y.size(), threads * group), threads, 0, c.stream, f, x.as<X>(),
         y.as<Y>(), y.size(), aligned(x, y));
}

/// y = f(x).
// Expected bound: HBM bandwidth; reads x and writes y once.
template <class Function> void map(const tensor& x, const tensor& y, const context& c, Function f) {
  for_element_type(x.type, [&]<class T>(T*) { launch_map<T, T>(x, y, c, f); });
}

/// Elements i, i + 1, … of an operand that repeats after `period` elements.
template <int Count, class T>
__device__ void load_repeated(const T* from, int64_t i, int64_t period, bool grouped,
                              float (&values)[Count]) {
  int64_t phase = i < period ? i : i % period;
  if (grouped) return load_elements(from + phase, values);
  for (float& value : values) {
    float single[1];
    load_elements(from + phase, single);
    value = single[0];
    if (++phase == period) phase = 0;
  }
}

template <class Function, class A, class B>
__global__ void __launch_bounds__(threads, 4)
    zip_kernel(Function f, const A* a, const B* b, A* y, int64_t count, int64_t period, bool grouped,
               bool b_grouped) {
  const auto body = [&]<int Count>(int64_t i, width<Count>) {
    float values[Count], others[Count];
    load_elements(a + i, values);
    load_repeated(b, i, period, b_grouped, others);
    for (int j = 0; j < Count; ++j) values[j] = f(values[j], others[j]);
    store_elements(y + i, values);
  };
  for_groups<group>(count, body, grouped);
}

/// y = f(a, b), where b, which has y's last dimensions, is broadcast: y[i] = f(a[i], b[i mod size(b)]).
// Expected bound: HBM bandwidth; reads a, writes y, reads b from L2 if it is broadcast. Four blocks per SM.
template <class Function>
void zip(const tensor& a, const tensor& b, const tensor& y, const context& c, Function f) {
  const int64_t period = b.size();
  const bool groups_repeat = period == y.size() || period % group == 0;
  for_element_types(a.type, b.type, [&]<class A, class B>(A*, B*) {
    launch(zip_kernel<Function, A, B>, blocks_of(y.size(), threads * group), threads, 0, c.stream, f,
           a.as<A>(), b.as<B>(), y.as<A>(), y.size(), period, aligned(a, y), groups_repeat && aligned(b));
  });
}

struct sum_of {
  __device__ float operator()(float x, float y) const { return x + y; }
};
struct difference_of {
  __device__ float operator()(float x, float y) const { return x - y; }
};
struct product_of {
  __device__ float operator()(float x, float y) const { return x * y; }
};
struct quotient_of {
  __device__ float operator()(float x, float y) const { return x / y; }
};
struct gelu_gradient {
  __device__ float operator()(float dy, float x) const { return dy * gelu_slope(x); }
};
struct quick_gelu_gradient {
  __device__ float operator()(float dy, float x) const { return dy * quick_gelu_slope(x); }
};

/// dx = dy f'(x); gives dx as it was rounded.
template <class Gradient, class D, class X> struct gradient_rows {
  // 80 registers per thread; with 64, erfcf would spill. 24 KiB of loads in flight with bf16.
  static constexpr int blocks_per_multiprocessor = 3;
  const D* dy;  // [rows, columns]
  const X* x;   // [rows, columns]
  D* dx;        // [rows, columns]
  int64_t columns;

  template <int Width> __device__ void operator()(int64_t row, int64_t column, float (&values)[Width]) const {
    const int64_t i = row * columns + column;
    float inputs[Width];
    load_elements(dy + i, values);
    load_elements(x + i, inputs);
    for (int j = 0; j < Width; ++j) values[j] = to_float(from_float<D>(Gradient{}(values[j], inputs[j])));
    store_elements(dx + i, values);
  }
};

/// The gradient of an activation, and in the same pass its column sums if they are read.
template <class Gradient, class Args> void activation_gradient(const Args& a, context& c, Gradient gradient) {
  if (!a.dx_sums.data) return zip(a.dy, a.x, a.dx, c, gradient);
  const int64_t columns = a.x.columns();
  for_element_types(a.dy.type, a.x.type, [&]<class D, class X>(D*, X*) {
    const gradient_rows<Gradient, D, X> rows{a.dy.template as<const D>(), a.x.template as<const X>(),
                                             a.dx.template as<D>(), columns};
    sum_columns(rows, a.x.rows(), columns, columns % group == 0 && aligned(a.dy, a.x, a.dx),
                a.dx_sums.template as<float>(), c);
  });
}

struct exponential {
  __device__ float operator()(float x) const { return expf(x); }
};
struct logarithm {
  __device__ float operator()(float x) const { return logf(x); }
};
struct square_root {
  __device__ float operator()(float x) const { return sqrtf(x); }
};
struct hyperbolic_tangent {
  __device__ float operator()(float x) const { return tanhf(x); }
};
struct sigmoid_of {
  __device__ float operator()(float x) const { return sigmoid(x); }
};
struct softplus_of {
  __device__ float operator()(float x) const { return softplus(x); }
};
struct gelu_of {
  __device__ float operator()(float x) const { return gelu(x); }
};
struct quick_gelu_of {
  __device__ float operator()(float x) const { return quick_gelu(x); }
};
struct affine {
  float factor, offset;
  __device__ float operator()(float x) const { return x * factor + offset; }
};
struct identity {
  __device__ float operator()(float x) const { return x; }
};

}  // namespace

template <> void run<ops::add>(const ops::add::args& a, context& c) { zip(a.a, a.b, a.y, c, sum_of{}); }
template <> void run<ops::subtract>(const ops::subtract::args& a, context& c) {
  zip(a.a, a.b, a.y, c, difference_of{});
}
template <> void run<ops::multiply>(const ops::multiply::args& a, context& c) {
  zip(a.a, a.b, a.y, c, product_of{});
}
template <> void run<ops::divide>(const ops::divide::args& a, context& c) {
  zip(a.a, a.b, a.y, c, quotient_of{});
}

template <> void run<ops::exp>(const ops::exp::args& a, context& c) { map(a.x, a.y, c, exponential{}); }
template <> void run<ops::log>(const ops::log::args& a, context& c) { map(a.x, a.y, c, logarithm{}); }
template <> void run<ops::sqrt>(const ops::sqrt::args& a, context& c) { map(a.x, a.y, c, square_root{}); }
template <> void run<ops::tanh>(const ops::tanh::args& a, context& c) {
  map(a.x, a.y, c, hyperbolic_tangent{});
}
template <> void run<ops::sigmoid>(const ops::sigmoid::args& a, context& c) {
  map(a.x, a.y, c, sigmoid_of{});
}
template <> void run<ops::softplus>(const ops::softplus::args& a, context& c) {
  map(a.x, a.y, c, softplus_of{});
}
template <> void run<ops::gelu>(const ops::gelu::args& a, context& c) { map(a.x, a.y, c, gelu_of{}); }
template <> void run<ops::quick_gelu>(const ops::quick_gelu::args& a, context& c) {
  map(a.x, a.y, c, quick_gelu_of{});
}

template <> void run<ops::gelu_backward>(const ops::gelu_backward::args& a, context& c) {
  activation_gradient(a, c, gelu_gradient{});
}
template <> void run<ops::quick_gelu_backward>(const ops::quick_gelu_backward::args& a, context& c) {
  activation_gradient(a, c, quick_gelu_gradient{});
}

template <> void run<ops::scale>(const ops::scale::args& a, context& c) {
  map(a.x, a.y, c, affine{a.factor, a.offset});
}
template <> void run<ops::cast>(const ops::cast::args& a, context& c) {
  for_element_types(a.x.type, a.y.type,
                    [&]<class X, class Y>(X*, Y*) { launch_map<X, Y>(a.x, a.y, c, identity{}); });
}
template <> void run<ops::cast_update>(const ops::cast_update::args& a, context& c) {
  for (size_t i = 0; i < a.copies.size(); ++i)
    launch_map<float, bf16>(a.parameters[i], a.copies[i], c, identity{});
}

}  // namespace eva::cuda
