#include "ops/patch_embed.h"

#include <vector>

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// Throws data_error for the first index outside 0 … patches-1.
void check_kept(const char* op, const tensor& kept, int64_t patches) {
  if (!kept.present()) return;
  for (int64_t i = 0; i < kept.size(); ++i)
    if (const int64_t patch = kept.as<int32_t>()[i]; patch < 0 || patch >= patches)
      throw data_error(std::string(op) + ": kept[" + std::to_string(i) + "] is " + std::to_string(patch) +
                           ", but there are " + std::to_string(patches) + " patches",
                       {{"op", op}, {"field", "kept"}});
}

/// The patch index of token i of image b.
int64_t patch_of(const tensor& kept, int64_t b, int64_t i) {
  return kept.present() ? kept.as<int32_t>()[b * kept.dim(1) + i] : i;
}

/// Normalizes one line of a patch from interleaved bytes: P pixels of one channel.
void copy_line(const uint8_t* pixels, float factor, float offset, float* y, int64_t size) {
  for (int64_t x = 0; x < size; ++x) y[x] = float(pixels[3 * x]) * factor + offset;
}

template <class T> void copy_line(const float* pixels, T* y, int64_t size) {
  sweep(size, [&](int64_t x, auto width) { store(y + x, load(pixels + x, width), width); });
}

template <class T> struct patch_reader {
  const ops::patch_rows::args& a;
  int64_t side = a.images.dim(2), size = a.patch_size, grid = side / size;
  int64_t columns = 3 * size * size;

  void bytes(int64_t b, int64_t patch, float* y) const {
    const int64_t top = patch / grid * size, left = patch % grid * size;
    for (size_t channel = 0; channel < 3; ++channel) {
      const float factor = 1 / (255 * a.std[channel]), offset = -a.mean[channel] / a.std[channel];
      for (int64_t line = 0; line < size; ++line, y += size) {
        const int64_t pixel = (b * side + top + line) * side + left;
        copy_line(a.images.as<uint8_t>() + 3 * pixel + channel, factor, offset, y, size);
      }
    }
  }
  /// Through an f32 row: lines are short, but rounding a long row vectorizes well.
  void bytes(int64_t b, int64_t patch, bf16* y) const {
    thread_local std::vector<float> row;
    row.resize(size_t(columns));
    bytes(b, patch, row.data());
    sweep(columns, [&](int64_t i, auto width) { store(y + i, load(row.data() + i, width), width); });
  }

  void floats(int64_t b, int64_t patch, T* y) const {
    const int64_t top = patch / grid * size, left = patch % grid * size;
    for (int64_t channel = 0; channel < 3; ++channel)
      for (int64_t line = 0; line < size; ++line, y += size)
        copy_line(a.images.as<float>() + ((b * 3 + channel) * side + top + line) * side + left, y, size);
  }
};

template <class T> void read_patches(const ops::patch_rows::args& a, const context& c) {
  const patch_reader<T> reader{a};
  const int64_t patches = a.y.dim(1);
  const bool bytes = a.images.type == dtype::u8;
  parallel_for(c, a.y.rows(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / patches, patch = patch_of(a.kept, b, row % patches);
      T* y = a.y.as<T>() + row * a.y.columns();
      bytes ? reader.bytes(b, patch, y) : reader.floats(b, patch, y);
      std::fill_n(y + reader.columns, a.padding, T());
    }
  });
}

template <class T> void add_position_rows(const ops::add_positions::args& a, const context& c) {
  const int64_t patches = a.x.dim(1), columns = a.x.columns();
  const auto* positions = a.positions.as<float>();
  parallel_for(c, a.x.dim(0), 2, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      T* y = a.y.as<T>() + b * (1 + patches) * columns;
      sweep(columns, [&](int64_t j, auto width) {
        store(y + j, load(a.class_token.as<float>() + j, width) + load(positions + j, width), width);
      });
      for (int64_t i = 0; i < patches; ++i) {
        const float* position = positions + (1 + patch_of(a.kept, b, i)) * columns;
        const T* x = a.x.as<T>() + (b * patches + i) * columns;
        sweep(columns, [&](int64_t j, auto width) {
          store(y + (1 + i) * columns + j, load(x + j, width) + load(position + j, width), width);
        });
      }
    }
  });
}

/// Threads split the columns, so that sums over images have a fixed order and no two threads write the same
/// element.
template <class T> void position_gradients(const ops::add_positions_backward::args& a, const context& c) {
  const int64_t patches = a.dx.dim(1), columns = a.dy.columns();
  auto* dpositions = a.dpositions.as<float>();
  auto* dclass = a.dclass_token.as<float>();
  const auto add = [](float* sum, const T* dy, int64_t count) {
    sweep(count,
          [&](int64_t j, auto width) { store(sum + j, load(sum + j, width) + load(dy + j, width), width); });
  };
  parallel_for(c, (columns + lanes - 1) / lanes, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * lanes, count = std::min(columns, end * lanes) - first;
    if (dclass) std::fill_n(dclass + first, count, 0.0f);
    if (dpositions)
      for (int64_t row = 0; row < a.dpositions.rows(); ++row)
        std::fill_n(dpositions + row * columns + first, count, 0.0f);
    for (int64_t b = 0; b < a.dy.dim(0); ++b) {
      const T* dy = a.dy.as<T>() + b * (1 + patches) * columns + first;
      if (dclass) add(dclass + first, dy, count);
      if (!dpositions) continue;
      add(dpositions + first, dy, count);
      for (int64_t i = 0; i < patches; ++i)
        add(dpositions + (1 + patch_of(a.kept, b, i)) * columns + first, dy + (1 + i) * columns, count);
    }
  });
}

template <class T> void patch_gradients(const ops::add_positions_backward::args& a, const context& c) {
  const int64_t patches = a.dx.dim(1), columns = a.dy.columns();
  parallel_for(c, a.dy.dim(0), 2, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const T* dy = a.dy.as<T>() + (b * (1 + patches) + 1) * columns;
      std::copy_n(dy, patches * columns, a.dx.as<T>() + b * patches * columns);
    }
  });
}

template <class T>
void add_positions_gradients(const ops::add_positions_backward::args& a, const context& c) {
  if (a.dx.data) patch_gradients<T>(a, c);
  if (a.dclass_token.data || a.dpositions.data) position_gradients<T>(a, c);
}

}  // namespace

template <> void run<ops::patch_rows>(const ops::patch_rows::args& a, context& c) {
  const int64_t grid = a.images.dim(2) / a.patch_size;
  check_kept("patch_rows", a.kept, grid * grid);
  a.y.type == dtype::f32 ? read_patches<float>(a, c) : read_patches<bf16>(a, c);
}

template <> void run<ops::add_positions>(const ops::add_positions::args& a, context& c) {
  check_kept("add_positions", a.kept, a.positions.rows() - 1);
  a.x.type == dtype::f32 ? add_position_rows<float>(a, c) : add_position_rows<bf16>(a, c);
}

template <> void run<ops::add_positions_backward>(const ops::add_positions_backward::args& a, context& c) {
  check_kept("add_positions_backward", a.kept, a.dpositions.rows() - 1);
  a.dy.type == dtype::f32 ? add_positions_gradients<float>(a, c) : add_positions_gradients<bf16>(a, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
