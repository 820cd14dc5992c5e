#include "cuda/device/launch.cuh"
#include "cuda/device/philox.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/random_fill.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;
constexpr uint32_t fill_key = 0x66696c6c;

/// cos(2 π v) for v in 0 … 1, by the Taylor series of sin(2 π t) with t = 1/4 - |v - round(v)|, as on the
/// CPU.
__device__ inline float cos_2pi(float v) {
  const float t = 0.25f - fabsf(v - (v > 0.5f ? 1.0f : 0.0f)), square = t * t;
  float sum = 3.8199526f;
  for (const float coefficient : {-15.094643f, 42.058694f, -76.705860f, 81.605249f, -41.341702f, 6.2831853f})
    sum = sum * square + coefficient;
  return t * sum;
}

/// The normal deviates of one parameter (Box and Muller 1958).
struct normal_source {
  uint32_t stream, seed;
  float cut;

  /// The deviate of element e; redrawn until it is within the cut (truncated normal).
  __device__ float operator()(int64_t e) const {
    for (uint32_t draw = 0;; ++draw) {
      const vector16 words =
          philox({{uint32_t(e), stream, draw, uint32_t(uint64_t(e) >> 32)}}, seed, fill_key);
      const float u = (float(words.words[0] >> 9) + 0.5f) * 0x1p-23f;
      const float v = float(words.words[1] >> 8) * 0x1p-24f;
      const float z = sqrtf(-2.0f * logf(u)) * cos_2pi(v);
      if (cut <= 0 || fabsf(z) <= cut) return z;
    }
  }
};

// y [stored rows, pitch] = mean + deviation · normal; zero in the padding outside rows × columns.
// Expected bound: integer instructions of Philox.
template <class T>
__global__ void __launch_bounds__(threads)
    random_fill_kernel(normal_source normal, T* y, int64_t count, int64_t rows, int64_t columns,
                       int64_t pitch, float mean, float deviation) {
  for_groups<1>(count, [&](int64_t i, width<1>) {
    const int64_t row = i / pitch, column = i % pitch;
    const bool padding = row >= rows || column >= columns;
    const float value[1] = {padding          ? 0
                            : deviation == 0 ? mean
                                             : mean + deviation * normal(row * columns + column)};
    store_elements(y + i, value);
  });
}

}  // namespace

template <> void run<ops::random_fill>(const ops::random_fill::args& a, context& c) {
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    const tensor& parameter = a.parameters[i];
    const bool whole = a.rows.empty();
    const int64_t rows = whole ? parameter.rows() : a.rows[i], pitch = parameter.columns();
    const int64_t columns = whole ? pitch : a.columns[i];
    const normal_source normal{uint32_t(int64_t(i) + a.first), uint32_t(a.seed), a.cut};
    for_element_type(parameter.type, [&]<class T>(T*) {
      launch(random_fill_kernel<T>, blocks_of(parameter.size(), threads), threads, 0, c.stream, normal,
             parameter.as<T>(), parameter.size(), rows, columns, pitch, a.means[i], a.deviations[i]);
    });
  }
}

}  // namespace eva::cuda
