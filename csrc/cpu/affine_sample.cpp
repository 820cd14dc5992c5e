#include "ops/affine_sample.h"

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// Premultiplied RGBA of one vector of pixels, in 0 … 1.
struct colors {
  vec channel[4];
};

class source_image {
 public:
  source_image(const uint32_t* pixels, int64_t height, int64_t width)
      : pixels_(pixels), height_(int32_t(height)), width_(int32_t(width)) {}

  /// Bilinear interpolation at (x, y), in pixels from the center of the first pixel.
  colors sample(vec x, vec y) const {
    // Clamps positions, NaN included, to two pixels outside the image, where nothing is read.
    x = minimum(maximum(x, broadcast(-2.0f)), broadcast(float(width_ + 1)));
    y = minimum(maximum(y, broadcast(-2.0f)), broadcast(float(height_ + 1)));
    // The conversion truncates, which is floor for positive numbers.
    const ivec left = __builtin_convertvector(x + 2.0f, ivec) - 2,
               top = __builtin_convertvector(y + 2.0f, ivec) - 2;
    const vec fx = x - __builtin_convertvector(left, vec), fy = y - __builtin_convertvector(top, vec);
    colors sum{};
    add(sum, left, top, (1 - fx) * (1 - fy));
    add(sum, left + 1, top, fx * (1 - fy));
    add(sum, left, top + 1, (1 - fx) * fy);
    add(sum, left + 1, top + 1, fx * fy);
    for (vec& channel : sum.channel) channel *= 1.0f / 255;
    return sum;
  }

 private:
  /// Adds `weight` times the pixels at (x, y); those outside the image are zero.
  void add(colors& sum, ivec x, ivec y, vec weight) const {
    const ivec inside = (x >= 0) & (x < width_) & (y >= 0) & (y < height_);
    const uvec rgba = gather(pixels_, inside & (y * width_ + x));
    const vec alpha = select(inside, weight, vec{}) * byte(rgba, 24);
    for (int k = 0; k < 3; ++k) sum.channel[k] += alpha * (1.0f / 255) * byte(rgba, 8 * k);
    sum.channel[3] += alpha;
  }
  static vec byte(uvec word, int shift) { return __builtin_convertvector(ivec((word >> shift) & 255u), vec); }

  const uint32_t* pixels_;  // red in the lowest byte
  int32_t height_, width_;
};

/// sum_k matrix[k] p_k + matrix[3] α + background (1 - α), as bytes.
ivec composite(const colors& p, const float* matrix, float background) {
  vec value = p.channel[3] * (matrix[3] - background) + background;
  for (int k = 0; k < 3; ++k) value += p.channel[k] * matrix[k];
  value = minimum(maximum(value, vec{}), broadcast(1.0f));
  return __builtin_convertvector(value * 255.0f + 0.5f, ivec);
}

void draw(const source_image& image, const float* theta, float half_width, float half_height,
          const float* matrix, const float* background, int64_t size, uint8_t* out) {
  const float step = 2 / float(size);
  const vec lane = __builtin_convertvector(lane_indices(), vec);
  for (int64_t row = 0; row < size; ++row) {
    const float v = (float(row) + 0.5f) * step - 1;
    sweep(size, [&](int64_t column, int width) {
      const vec u = (lane + (float(column) + 0.5f)) * step - 1;
      const vec x = (theta[0] * u + (theta[1] * v + theta[2] + 1)) * half_width - 0.5f;
      const vec y = (theta[3] * u + (theta[4] * v + theta[5] + 1)) * half_height - 0.5f;
      const colors p = image.sample(x, y);
      uint8_t* pixel = out + (row * size + column) * 3;
      for (int channel = 0; channel < 3; ++channel) {
        const ivec bytes = composite(p, matrix + 4 * channel, background[channel]);
        for (int i = 0; i < width; ++i) pixel[3 * i + channel] = uint8_t(bytes[i]);
      }
    });
  }
}

}  // namespace

template <> void run<ops::affine_sample>(const ops::affine_sample::args& a, context& c) {
  const int64_t height = a.images.dim(1), width = a.images.dim(2);
  parallel_for(c, a.images.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const source_image image(a.images.as<uint32_t>() + b * height * width, height, width);
      draw(image, a.transform.as<float>() + b * 6, 0.5f * float(width), 0.5f * float(height),
           a.color.as<float>() + b * 12, a.background.as<float>() + b * 3, a.size,
           a.y.as<uint8_t>() + b * a.size * a.size * 3);
    }
  });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
