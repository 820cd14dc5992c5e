#include "cuda/column_sums.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/index_check.cuh"
#include "cuda/kernel.h"
#include "cuda/scatter/scatter_rows.cuh"
#include "ops/patch_embed.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;
/// Tuning: blocks per SM, which leave a thread 64 registers. Where none are stated, ptxas spills in order to
/// fit in 32.
constexpr int row_blocks = 4;

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

/// Adjacent pixels of a line, by channel.
template <int Count> struct pixels { float of[3][Count]; };

/// Words of bytes, the widest whose size divides that of Count pixels.
template <int Count>
using pixel_word =
    std::conditional_t<Count % 8 == 0, uint64_t, std::conditional_t<Count % 2 == 0, uint16_t, uint8_t>>;

/// Interleaved bytes; pixels are (x / 255 - mean) / std = x factor + offset.
struct interleaved_images {
  const uint8_t* data;  // [B, S, S, 3]
  float factor[3], offset[3];

  /// Pixels y S + x, … of image b.
  template <int Count> __device__ pixels<Count> load(int64_t b, int side, int y, int x) const {
    using word = pixel_word<Count>;
    const auto* const from = reinterpret_cast<const word*>(data + 3 * ((b * side + y) * int64_t(side) + x));
    constexpr int words = 3 * Count / int(sizeof(word));
    word loaded[words];
#pragma unroll
    for (int i = 0; i < words; ++i) loaded[i] = from[i];
    pixels<Count> all;
#pragma unroll
    for (int i = 0; i < 3 * Count; ++i) {
      const int byte = int(loaded[i / int(sizeof(word))] >> (8 * (i % int(sizeof(word)))) & 0xff);
      all.of[i % 3][i / 3] = float(byte) * factor[i % 3] + offset[i % 3];
    }
    return all;
  }
};

struct planar_images {
  const float* data;  // [B, 3, S, S]

  template <int Count> __device__ pixels<Count> load(int64_t b, int side, int y, int x) const {
    pixels<Count> all;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel)
      load_elements(data + ((3 * b + channel) * side + y) * int64_t(side) + x, all.of[channel]);
    return all;
  }
};

/// The geometry of patch_rows: images of side S, in patches of side P, and rows that end with `padding`
/// zeros. `Fixed`: P as a constant, or 0.
template <int Fixed> struct patch_grid {
  int side, given_size, padding;
  int64_t tokens;       // B K
  int tokens_of_block;  // as many as have about one thread per segment

  __device__ int size() const { return Fixed ? Fixed : given_size; }
};

// y [B K, 3 P² + padding] = the pixels of each kept patch, normalized. A block has a few patches; a thread
// reads a segment of Count pixels of a line and writes it to the planes of the three channels, so a warp's
// loads and stores are of adjacent segments. Count divides padding. Expected bound: HBM bandwidth, 80 %;
// reads three bytes per pixel and writes y once. About eight instructions per element; divisions are by
// constants for the usual P, and of 32 bits.
template <int Fixed, int Count, class Images, class T>
__global__ void __launch_bounds__(threads, row_blocks)
    patch_rows_kernel(Images images, kept_patches kept, patch_grid<Fixed> grid, T* y) {
  const int size = grid.size(), per_line = size / Count, segments = per_line * size;
  const int across = grid.side / size, padding = grid.padding / Count;
  const int64_t columns = 3 * size * size + grid.padding;
  for (int64_t first = int64_t(block_index()) * grid.tokens_of_block; first < grid.tokens;
       first += int64_t(grid_blocks()) * grid.tokens_of_block) {
    const int64_t first_image = first / kept.per_image, first_place = first % kept.per_image;
    const int tokens = int(min(int64_t(grid.tokens_of_block), grid.tokens - first));
    for (int i = thread_index(); i < tokens * segments; i += threads) {
      const int token = i / segments, segment = i % segments;
      const int line = segment / per_line, column = segment % per_line * Count;
      const auto place = uint32_t(first_place + token), per_image = uint32_t(kept.per_image);
      const int64_t patch = kept.indices ? kept.of_token(first + token) : place % per_image;
      pixels<Count> all;
      if (patch >= 0) {
        all = images.template load<Count>(first_image + place / per_image, grid.side,
                                          int(patch) / across * size + line,
                                          int(patch) % across * size + column);
      } else {
        for (auto& channel : all.of)
          for (float& value : channel) value = NAN;
      }
#pragma unroll
      for (int channel = 0; channel < 3; ++channel)
        store_elements(y + (first + token) * columns + channel * size * size + line * size + column,
                       all.of[channel]);
    }
    for (int i = thread_index(); i < tokens * padding; i += threads) {
      const int token = i / padding, column = 3 * size * size + i % padding * Count;
      store_elements(y + (first + token) * columns + column, pixels<Count>{}.of[0]);
    }
  }
}

template <class Images> void read_patches(const ops::patch_rows::args& a, Images images, const context& c) {
  const int64_t side = a.images.dim(2), size = a.patch_size, across = side / size;
  const kept_patches kept = kept_of<ops::patch_rows>(a, a.y.dim(1), across * across, c);
  const auto start = [&]<class T, int Fixed, int Count>(T*, std::integral_constant<int, Fixed>,
                                                        width<Count>) {
    const int64_t segments = size * size / Count, tokens = a.y.rows();
    const int of_block = int(std::max<int64_t>(1, threads / segments));
    const patch_grid<Fixed> grid{int(side), int(size), int(a.padding), tokens, of_block};
    launch(patch_rows_kernel<Fixed, Count, Images, T>, blocks_of(tokens, of_block), threads, 0, c.stream,
           images, kept, grid, a.y.as<T>());
  };
  using constant_14 = std::integral_constant<int, 14>;
  using constant_16 = std::integral_constant<int, 16>;
  using constant_32 = std::integral_constant<int, 32>;
  using any = std::integral_constant<int, 0>;
  const auto fits = [&](int count) {
    return aligned(a.images, a.y) && size % count == 0 && a.padding % count == 0;
  };
  for_element_type(a.y.type, [&]<class T>(T* type) {
    if (size == 16 && fits(8)) return start(type, constant_16{}, width<8>{});
    if (size == 14 && fits(2)) return start(type, constant_14{}, width<2>{});
    if (size == 32 && fits(8)) return start(type, constant_32{}, width<8>{});
    if (fits(8)) return start(type, any{}, width<8>{});
    if (fits(2)) return start(type, any{}, width<2>{});
    start(type, any{}, width<1>{});
  });
}

/// Calls row(i, body) for the rows of this warp, and body(column) for the lane's groups of a row: what
/// depends on the row is computed once.
template <int Width, class Row>
__device__ void for_rows_of_warp(int64_t rows, int64_t columns, const Row& row) {
  constexpr int warps = threads / warp_size;
  for (int64_t i = int64_t(block_index()) * warps + warp_index(); i < rows;
       i += int64_t(grid_blocks()) * warps)
    row(i, [&](const auto& body) {
      for (int64_t column = lane_index() * Width; column < columns; column += warp_size * Width) body(column);
    });
}

// y [B, 1 + K, C] = the class token followed by x, plus positions [1 + N, C].
// Expected bound: HBM bandwidth, 85 %; reads x and writes y once, positions come from L2.
template <int Width, class T>
__global__ void __launch_bounds__(threads, row_blocks)
    add_positions_kernel(const T* x, const float* class_token, const float* positions, kept_patches kept,
                         T* y, int64_t rows, int64_t columns) {
  for_rows_of_warp<Width>(rows, columns, [&](int64_t row, const auto& for_columns) {
    const int64_t b = row / (1 + kept.per_image), place = row % (1 + kept.per_image) - 1;
    const int64_t token = b * kept.per_image + place, patch = place < 0 ? -1 : kept.of_token(token);
    const bool is_outside = place >= 0 && patch < 0;
    for_columns([&](int64_t column) {
      float values[Width], position[Width];
      if (place < 0)
        load_elements(class_token + column, values);
      else
        load_elements(x + token * columns + column, values);
      load_elements(positions + (1 + patch) * columns + column, position);
      for (int j = 0; j < Width; ++j) values[j] = is_outside ? NAN : values[j] + position[j];
      store_elements(y + row * columns + column, values);
    });
  });
}

// dx [B, K, C] = dy [B, 1 + K, C] without the class tokens.
// Expected bound: HBM bandwidth, 85 %; reads and writes dx's size once.
template <int Width, class T>
__global__ void __launch_bounds__(threads, row_blocks)
    patch_gradients_kernel(const T* dy, T* dx, int64_t rows, int64_t columns, int64_t patches) {
  for_rows_of_warp<Width>(rows, columns, [&](int64_t row, const auto& for_columns) {
    const T* const from = dy + (row + row / patches + 1) * columns;
    for_columns([&](int64_t column) {
      float values[Width];
      load_elements(from + column, values);
      store_elements(dx + row * columns + column, values);
    });
  });
}

/// Item i is row i of dy; its position is 0 for a class token and 1 + patch for the others.
struct token_positions {
  kept_patches kept;
  __device__ scattered operator()(int i) const {
    const int tokens = 1 + int(kept.per_image), place = i % tokens;
    if (place == 0) return {i, 0};
    const auto patch = int(kept.of_token(i - i / tokens - 1));
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
                launch(add_positions_kernel<Width, T>, blocks_of(a.y.rows(), threads / warp_size), threads, 0,
                       c.stream, a.x.as<T>(), a.class_token.as<float>(), a.positions.as<float>(), kept,
                       a.y.as<T>(), a.y.rows(), columns);
              });
  });
}

template <> void run<ops::add_positions_backward>(const ops::add_positions_backward::args& a, context& c) {
  const int64_t columns = a.dy.columns(), patches = a.dx.dim(1);
  for_element_type(a.dy.type, [&]<class T>(T*) {
    if (!a.dx.data) return;
    for_width(columns % group == 0 && aligned(a.dy, a.dx), [&]<int Width>(width<Width>) {
      launch(patch_gradients_kernel<Width, T>, blocks_of(a.dx.rows(), threads / warp_size), threads, 0,
             c.stream, a.dy.as<T>(), a.dx.as<T>(), a.dx.rows(), columns, patches);
    });
  });
  // Sums over images of the tokens at one place, or at all places, are column sums.
  const auto sum_images = [&](int64_t count, const tensor& sums) {
    for_element_type(a.dy.type, [&]<class T>(T*) {
      column_sums(a.dy.as<const T>(), a.dy.dim(0), count, (1 + patches) * columns, sums.as<float>(), c);
    });
  };
  if (a.dclass_token.data) sum_images(columns, a.dclass_token);
  if (a.dpositions.data == nullptr) return;
  if (!a.kept.present()) return sum_images((1 + patches) * columns, a.dpositions);
  const int64_t positions = a.dpositions.rows();
  scatter_rows(token_positions{kept_of<ops::add_positions_backward>(a, patches, positions - 1, c)},
               a.dy.rows(), a.dy, a.dpositions.as<float>(), positions, c);
}

}  // namespace eva::cuda
