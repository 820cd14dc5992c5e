#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/index_check.cuh"
#include "cuda/kernel.h"
#include "cuda/scatter_rows.cuh"
#include "ops/patch_embed.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;

/// The patch of each token of a batch. Indices outside the grid become -1, whose pixels and positions are
/// NaN.
struct kept_patches {
  const int32_t* indices;  // [B, K]; null if all patches are kept
  int64_t per_image;       // K
  index_check check;       // of indices

  __device__ int64_t of_token(int64_t token) const {  // token = b K + i
    if (!indices) return token % per_image;
    const int64_t patch = indices[token];
    return check.holds(0, token, patch) ? patch : -1;
  }
};

template <class Op>
kept_patches kept_of(const typename Op::args& a, int64_t per_image, int64_t count, const context& c) {
  return {a.kept.present() ? a.kept.template as<int32_t>() : nullptr, per_image,
          index_check(c, Op::name, &a, {{"kept", count}})};
}

/// Maps elements of a patch row to pixels.
struct patch_grid {
  int side, size;  // S, P in pixels

  /// The row-major index, within the image, of the pixel of element (channel P + row) P + column of a patch
  /// row.
  __device__ int64_t pixel(int64_t patch, int element) const {
    const int across = side / size, row = element / size % size, column = element % size;
    return (patch / across * size + row) * side + patch % across * size + column;
  }
};

/// Interleaved bytes; pixels are (x / 255 - mean) / std = x factor + offset.
struct interleaved_images {
  const uint8_t* pixels;  // [B, S, S, 3]
  float factor[3], offset[3];

  __device__ float at(int64_t first_pixel, int64_t pixel, int64_t, int channel) const {
    const float scale = channel == 0 ? factor[0] : channel == 1 ? factor[1] : factor[2];
    const float shift = channel == 0 ? offset[0] : channel == 1 ? offset[1] : offset[2];
    return float(pixels[3 * (first_pixel + pixel) + channel]) * scale + shift;
  }
};

struct planar_images {
  const float* pixels;  // [B, 3, S, S]

  __device__ float at(int64_t first_pixel, int64_t pixel, int64_t plane, int channel) const {
    return pixels[3 * first_pixel + channel * plane + pixel];
  }
};

// y [B K, 3 P²] = the pixels of each kept patch, normalized.
// Expected bound: integer instructions; each element computes its own pixel index, with several divisions.
template <int Width, class Images, class T>
__global__ void __launch_bounds__(threads)
    patch_rows_kernel(Images images, kept_patches kept, patch_grid grid, T* y, int64_t count) {
  const int area = grid.size * grid.size, columns = 3 * area;
  const int64_t plane = int64_t(grid.side) * grid.side;
  for_groups<Width>(count, [&]<int Count>(int64_t i, width<Count>) {
    const int64_t token = i / columns, patch = kept.of_token(token);
    const int column = int(i % columns);
    float values[Count];
    for (int j = 0; j < Count; ++j) {
      const int channel = (column + j) / area;
      values[j] = patch < 0 ? NAN
                            : images.at(token / kept.per_image * plane, grid.pixel(patch, column + j), plane,
                                        channel);
    }
    store_elements(y + i, values);
  });
}

template <class Images> void read_patches(const ops::patch_rows::args& a, Images images, const context& c) {
  const int64_t side = a.images.dim(2), across = side / a.patch_size;
  const kept_patches kept = kept_of<ops::patch_rows>(a, a.y.dim(1), across * across, c);
  for_element_type(a.y.type, [&]<class T>(T*) {
    for_width<4>(a.y.columns() % 4 == 0 && aligned(a.y), [&]<int Width>(width<Width>) {
      launch(patch_rows_kernel<Width, Images, T>, blocks_of(a.y.size(), threads * Width), threads, 0,
             c.stream, images, kept, patch_grid{int(side), int(a.patch_size)}, a.y.as<T>(), a.y.size());
    });
  });
}

// y [B, 1 + K, C] = the class token followed by x, plus positions [1 + N, C].
// Expected bound: HBM bandwidth; reads x and writes y once.
template <int Width, class T>
__global__ void __launch_bounds__(threads)
    add_positions_kernel(const T* x, const float* class_token, const float* positions, kept_patches kept,
                         T* y, int64_t count, int64_t columns) {
  for_groups<Width>(count, [&]<int Count>(int64_t i, width<Count>) {
    const int64_t row = i / columns, column = i % columns;
    const int64_t b = row / (1 + kept.per_image), place = row % (1 + kept.per_image) - 1;
    const int64_t token = b * kept.per_image + place, patch = place < 0 ? -1 : kept.of_token(token);
    float values[Count], position[Count];
    if (place < 0)
      load_elements(class_token + column, values);
    else
      load_elements(x + token * columns + column, values);
    load_elements(positions + (1 + patch) * columns + column, position);
    for (int j = 0; j < Count; ++j) values[j] = place >= 0 && patch < 0 ? NAN : values[j] + position[j];
    store_elements(y + i, values);
  });
}

// dx [B, K, C] = dy [B, 1 + K, C] without the class tokens.
// Expected bound: HBM bandwidth; reads and writes dx's size once.
template <int Width, class T>
__global__ void __launch_bounds__(threads)
    patch_gradients_kernel(const T* dy, T* dx, int64_t count, int64_t columns, int64_t patches) {
  for_groups<Width>(count, [&]<int Count>(int64_t i, width<Count>) {
    const int64_t row = i / columns;
    float values[Count];
    load_elements(dy + (row + row / patches + 1) * columns + i % columns, values);
    store_elements(dx + i, values);
  });
}

/// Item b is the class token of image b.
struct class_tokens {
  int tokens;  // 1 + K
  __device__ scattered operator()(int b) const { return {b * tokens, 0}; }
};

/// Item i is row i of dy; its position is 0 for a class token and 1 + patch for the others.
struct token_positions {
  kept_patches kept;
  __device__ scattered operator()(int i) const {
    const int tokens = 1 + int(kept.per_image), place = i % tokens;
    if (place == 0) return {i, 0};
    const int patch = kept.indices ? int(kept.of_token(i - i / tokens - 1)) : place - 1;
    return {i, patch < 0 ? -1 : 1 + patch};
  }
};

}  // namespace

template <> void run<ops::patch_rows>(const ops::patch_rows::args& a, context& c) {
  if (a.images.type == dtype::f32) return read_patches(a, planar_images{a.images.as<float>()}, c);
  interleaved_images images{a.images.as<uint8_t>(), {}, {}};
  for (size_t channel = 0; channel < 3; ++channel) {
    images.factor[channel] = 1 / (255 * a.std[channel]);
    images.offset[channel] = -a.mean[channel] / a.std[channel];
  }
  read_patches(a, images, c);
}

template <> void run<ops::add_positions>(const ops::add_positions::args& a, context& c) {
  const int64_t columns = a.x.columns();
  const kept_patches kept = kept_of<ops::add_positions>(a, a.x.dim(1), a.positions.rows() - 1, c);
  for_element_type(a.x.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(a.x, a.class_token, a.positions, a.y),
              [&]<int Width>(width<Width>) {
                launch(add_positions_kernel<Width, T>, blocks_of(a.y.size(), threads * Width), threads, 0,
                       c.stream, a.x.as<T>(), a.class_token.as<float>(), a.positions.as<float>(), kept,
                       a.y.as<T>(), a.y.size(), columns);
              });
  });
}

template <> void run<ops::add_positions_backward>(const ops::add_positions_backward::args& a, context& c) {
  const int64_t columns = a.dy.columns(), patches = a.dx.dim(1);
  for_element_type(a.dy.type, [&]<class T>(T*) {
    if (!a.dx.data) return;
    for_width(columns % group == 0 && aligned(a.dy, a.dx), [&]<int Width>(width<Width>) {
      launch(patch_gradients_kernel<Width, T>, blocks_of(a.dx.size(), threads * Width), threads, 0, c.stream,
             a.dy.as<T>(), a.dx.as<T>(), a.dx.size(), columns, patches);
    });
  });
  if (a.dclass_token.data)
    scatter_rows(class_tokens{int(1 + patches)}, a.dy.dim(0), a.dy, a.dclass_token.as<float>(), 1, c);
  const int64_t positions = a.dpositions.rows();
  if (a.dpositions.data)
    scatter_rows(token_positions{kept_of<ops::add_positions_backward>(a, patches, positions - 1, c)},
                 a.dy.rows(), a.dy, a.dpositions.as<float>(), positions, c);
}

}  // namespace eva::cuda
