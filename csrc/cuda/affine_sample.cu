#include <cmath>

#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/affine_sample.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;

/// Premultiplied red, green and blue, and alpha, in 0 … 1.
struct color {
  float channel[4];
};

struct source_image {
  const uint32_t* pixels;  // RGBA, red in the lowest byte
  int height, width;

  /// Bilinear interpolation at (x, y), in pixels from the center of the first pixel.
  __device__ color sample(float x, float y) const {
    // Points two or more pixels outside, and NaN, read no pixel.
    x = fminf(fmaxf(x, -2.0f), float(width + 1));
    y = fminf(fmaxf(y, -2.0f), float(height + 1));
    const int left = int(floorf(x)), top = int(floorf(y));
    const float fx = x - float(left), fy = y - float(top);
    color sum{};
    add(sum, left, top, (1 - fx) * (1 - fy));
    add(sum, left + 1, top, fx * (1 - fy));
    add(sum, left, top + 1, (1 - fx) * fy);
    add(sum, left + 1, top + 1, fx * fy);
    for (float& channel : sum.channel) channel *= 1.0f / 255;
    return sum;
  }

 private:
  /// sum += weight · pixel (x, y), which is zero outside the image.
  __device__ void add(color& sum, int x, int y, float weight) const {
    if (x < 0 || x >= width || y < 0 || y >= height) return;
    const uint32_t rgba = pixels[int64_t(y) * width + x];
    const float alpha = weight * float(rgba >> 24);
#pragma unroll
    for (int k = 0; k < 3; ++k) sum.channel[k] += alpha * (1.0f / 255) * float(rgba >> (8 * k) & 255u);
    sum.channel[3] += alpha;
  }
};

/// Σ_k matrix[k] p_k + matrix[3] α + background (1 - α), rounded to a byte.
__device__ inline uint8_t composite(const color& p, const float* matrix, float background) {
  float value = p.channel[3] * (matrix[3] - background) + background;
#pragma unroll
  for (int k = 0; k < 3; ++k) value += p.channel[k] * matrix[k];
  return uint8_t(int(fminf(fmaxf(value, 0.0f), 1.0f) * 255.0f + 0.5f));
}

// One thread per pixel of y.
// Expected bound: memory latency; reads four pixels per pixel of y.
__global__ void __launch_bounds__(threads)
    affine_sample_kernel(const uint32_t* images, const float* transforms, const float* backgrounds,
                         const float* color_matrices, uint8_t* y, int64_t count, int height, int width,
                         int size) {
  const float step = 2 / float(size), half_width = 0.5f * float(width), half_height = 0.5f * float(height);
  for_groups<1>(count, [&](int64_t i, cuda::width<1>) {
    const int64_t b = i / size / size;
    const float* const theta = transforms + 6 * b;
    const float u = (float(i % size) + 0.5f) * step - 1, v = (float(i / size % size) + 0.5f) * step - 1;
    const source_image image{images + b * height * width, height, width};
    const color p = image.sample((theta[0] * u + (theta[1] * v + theta[2] + 1)) * half_width - 0.5f,
                                 (theta[3] * u + (theta[4] * v + theta[5] + 1)) * half_height - 0.5f);
#pragma unroll
    for (int channel = 0; channel < 3; ++channel)
      y[3 * i + channel] = composite(p, color_matrices + 12 * b + 4 * channel, backgrounds[3 * b + channel]);
  });
}

}  // namespace

template <> void run<ops::affine_sample>(const ops::affine_sample::args& a, context& c) {
  const int64_t count = a.images.dim(0) * a.size * a.size;
  launch(affine_sample_kernel, blocks_of(count, threads), threads, 0, c.stream, a.images.as<uint32_t>(),
         a.transform.as<float>(), a.background.as<float>(), a.color.as<float>(), a.y.as<uint8_t>(), count,
         int(a.images.dim(1)), int(a.images.dim(2)), int(a.size));
}

}  // namespace eva::cuda
