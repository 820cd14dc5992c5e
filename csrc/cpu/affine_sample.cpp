#include "ops/affine_sample.h"

#include <cmath>

#include "cpu/kernel.h"
#include "cpu/parallel.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// Red, green, blue times alpha, and alpha, all in 0 … 1: one vector of four on every processor.
using colour [[gnu::vector_size(16)]] = float;

struct source_image {
  const uint8_t* pixels;
  int64_t height, width;

  colour at(int64_t x, int64_t y) const {
    if (x < 0 || y < 0 || x >= width || y >= height) return colour{};
    const uint8_t* p = pixels + (y * width + x) * 4;
    const float alpha = float(p[3]) * (1.0f / 255);
    const float weight = alpha * (1.0f / 255);
    return colour{float(p[0]) * weight, float(p[1]) * weight, float(p[2]) * weight, alpha};
  }

  /// Bilinear between the four pixels around (x, y), in pixels from the centre of the first.
  colour sample(float x, float y) const {
    const float left = std::floor(x), top = std::floor(y);
    const float fx = x - left, fy = y - top;
    const auto ix = int64_t(left), iy = int64_t(top);
    const colour upper = at(ix, iy) * (1 - fx) + at(ix + 1, iy) * fx;
    const colour lower = at(ix, iy + 1) * (1 - fx) + at(ix + 1, iy + 1) * fx;
    return upper * (1 - fy) + lower * fy;
  }
};

/// The map from premultiplied colour to the finished channel, column by column: out = r·m0 + g·m1 + b·m2 +
/// α·m3 + rest.
struct colour_map {
  colour columns[4];
  colour background;

  colour_map(const float* matrix, const float* back) {
    background = colour{back[0], back[1], back[2], 0};
    for (int k = 0; k < 4; ++k) columns[k] = colour{matrix[k], matrix[4 + k], matrix[8 + k], 0};
    columns[3] -= background;
  }
  colour operator()(colour p) const {
    return columns[0] * p[0] + columns[1] * p[1] + columns[2] * p[2] + columns[3] * p[3] + background;
  }
};

uint8_t to_byte(float channel) { return uint8_t(std::min(std::max(channel, 0.0f), 1.0f) * 255.0f + 0.5f); }

void draw(const source_image& image, const float* theta, const colour_map& map, int64_t size, uint8_t* out) {
  const float half_width = 0.5f * float(image.width), half_height = 0.5f * float(image.height);
  for (int64_t row = 0; row < size; ++row) {
    const float v = float(2 * row + 1) / float(size) - 1;
    for (int64_t column = 0; column < size; ++column, out += 3) {
      const float u = float(2 * column + 1) / float(size) - 1;
      const float x = (theta[0] * u + theta[1] * v + theta[2] + 1) * half_width - 0.5f;
      const float y = (theta[3] * u + theta[4] * v + theta[5] + 1) * half_height - 0.5f;
      // Positions far outside, and NaN, must not reach the conversion to integers.
      const bool near = x > -2 && y > -2 && x < float(image.width + 1) && y < float(image.height + 1);
      const colour mapped = map(near ? image.sample(x, y) : colour{});
      for (int channel = 0; channel < 3; ++channel) out[channel] = to_byte(mapped[channel]);
    }
  }
}

}  // namespace

template <> void run<ops::affine_sample>(const ops::affine_sample::args& a, context& c) {
  const int64_t height = a.images.dim(1), width = a.images.dim(2);
  parallel_for(c, a.images.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const source_image image{a.images.as<uint8_t>() + b * height * width * 4, height, width};
      const colour_map map(a.colour.as<float>() + b * 12, a.background.as<float>() + b * 3);
      draw(image, a.transform.as<float>() + b * 6, map, a.size, a.y.as<uint8_t>() + b * a.size * a.size * 3);
    }
  });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
