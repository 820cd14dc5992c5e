#include "ops/random_fill.h"

#include <cmath>
#include <numbers>

#include "core/philox.h"
#include "cpu/kernel.h"
#include "cpu/parallel.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr uint32_t fill_key = 0x66696c6c;

/// One standard normal deviate: from words 0 and 1 of a draw the uniforms u = (word 0 + 1) / 2³² in (0, 1]
/// and v = word 1 / 2³² in [0, 1), and sqrt(-2 ln u) cos(2 π v), in double (Box and Muller 1958).
double deviate(std::array<uint32_t, 4> words) {
  const double u = (double(words[0]) + 1) * 0x1p-32, v = double(words[1]) * 0x1p-32;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

template <class T> void fill(const ops::random_fill::args& a, size_t i, const context& c) {
  const tensor& parameter = a.parameters[i];
  const auto stream = uint32_t(int64_t(i) + a.first), seed = uint32_t(a.seed);
  parallel_for(c, parameter.size(), 4096, [&](int64_t begin, int64_t end) {
    if (a.deviations[i] == 0)
      return std::fill(parameter.as<T>() + begin, parameter.as<T>() + end, T(a.means[i]));
    for (int64_t e = begin; e < end; ++e) {
      double z = 0;
      for (uint32_t draw = 0;; ++draw) {
        z = deviate(philox({uint32_t(e), stream, draw, uint32_t(e >> 32)}, {seed, fill_key}));
        if (a.cut <= 0 || std::abs(z) <= double(a.cut)) break;
      }
      parameter.as<T>()[e] = T(float(double(a.means[i]) + double(a.deviations[i]) * z));
    }
  });
}

}  // namespace

template <> void run<ops::random_fill>(const ops::random_fill::args& a, context& c) {
  for (size_t i = 0; i < a.parameters.size(); ++i)
    a.parameters[i].type == dtype::f32 ? fill<float>(a, i, c) : fill<bf16>(a, i, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
