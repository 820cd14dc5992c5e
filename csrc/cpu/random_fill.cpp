#include "ops/random_fill.h"

#include "core/padded_layout.h"
#include "core/philox.h"
#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr uint32_t fill_key = 0x66696c6c;

/// cos(2 π v) for v in 0 … 1, as the sine of the distance to a quarter period, by its Taylor series.
vec cos_2pi(vec v) {
  const vec t = 0.25f - absolute(v - select(v > 0.5f, broadcast(1.0f), vec{})), square = t * t;
  return t * polynomial(square, 3.8199526f, -15.094643f, 42.058694f, -76.705860f, 81.605249f, -41.341702f,
                        6.2831853f);
}

/// Standard normal deviates from two random words each (Box-Muller).
vec deviates(uvec first, uvec second) {
  const vec u = (__builtin_convertvector(first >> 9, vec) + 0.5f) * 0x1p-23f;
  const vec v = __builtin_convertvector(second >> 8, vec) * 0x1p-24f;
  return sqrt(-2.0f * log(u)) * cos_2pi(v);
}

/// The random stream of one parameter.
struct normal_source {
  uint32_t stream, seed;
  float cut;

  /// The deviates of elements e, e + 1, …; lanes beyond the cut are redrawn.
  vec operator()(int64_t e) const {
    uvec first{}, second{};
    ivec pending = broadcast(int32_t(-1));
    for (uint32_t draw = 0;; ++draw) {
      for (int lane = 0; lane < lanes; ++lane) {
        if (!pending[lane]) continue;
        const int64_t element = e + lane;
        const auto words =
            philox({uint32_t(element), stream, draw, uint32_t(element >> 32)}, {seed, fill_key});
        first[lane] = words[0];
        second[lane] = words[1];
      }
      const vec z = deviates(first, second);
      if (cut <= 0 || reduce_max(absolute(z)) <= cut) return z;
      pending = absolute(z) > cut;
    }
  }
};

template <class T> void fill(const ops::random_fill::args& a, size_t i, const context& c) {
  const tensor& parameter = a.parameters[i];
  const float mean = a.means[i], deviation = a.deviations[i];
  const normal_source normal{uint32_t(int64_t(i) + a.first), uint32_t(a.seed), a.cut};
  const bool whole = a.rows.empty();
  const padded_layout layout(whole ? parameter.rows() : a.rows[i], whole ? parameter.columns() : a.columns[i],
                             parameter.columns(), parameter.size());
  parallel_for(c, layout.size(), 1024, [&](int64_t begin, int64_t end) {
    layout.for_each_run(begin, end, [&](int64_t first, int64_t count, int64_t padding) {
      T* y = parameter.as<T>() + layout.offset_of(first);
      std::fill_n(y + count, padding, T(0.0f));
      if (deviation == 0) return void(std::fill_n(y, count, T(mean)));
      sweep(count, [&](int64_t e, auto width) { store(y + e, mean + deviation * normal(first + e), width); });
    });
  });
}

}  // namespace

template <> void run<ops::random_fill>(const ops::random_fill::args& a, context& c) {
  for (size_t i = 0; i < a.parameters.size(); ++i)
    a.parameters[i].type == dtype::f32 ? fill<float>(a, i, c) : fill<bf16>(a, i, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
