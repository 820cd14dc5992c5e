#include "cpu/attention/small_gemm.h"

#include <array>
#include <cstring>
#include <utility>

#include "cpu/unrolled.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

/// Half a register, because the last panel is rarely a multiple of `lanes` wide (an image has P² patches and
/// a class token).
using half_vec [[gnu::vector_size(lanes * 2)]] = float;
struct no_vec {};

// One row of a panel is a First followed by a Second, which is no_vec in narrow panels.
template <class V> V read(const float* p) {
  V x;
  if constexpr (!std::is_same_v<V, no_vec>) std::memcpy(&x, p, sizeof x);
  return x;
}
template <class V> void write(float* p, const V& x) {
  if constexpr (!std::is_same_v<V, no_vec>) std::memcpy(p, &x, sizeof x);
}
template <class V> void multiply_add(V& sum, float a, const V& b) {
  if constexpr (!std::is_same_v<V, no_vec>) sum += a * b;
}
template <class First> constexpr int first_width = sizeof(First) / sizeof(float);

/// Height of the register tile, limited by the register file: two accumulators per row, one row of b and one
/// element of a.
constexpr int tile_rows = lanes == 16 ? 14 : 6;

/// Micro-kernel: c = a b, or c += aᵀ b if `Transposed`, for Rows rows of one panel of c.
template <int Rows, bool Transposed, class First, class Second>
void micro_kernel(matrix c, matrix a, matrix b, int64_t depth) {
  First first[Rows];
  Second second[Rows];
  unrolled<Rows>([&](auto i) {
    first[i] = Transposed ? read<First>(c.row(i)) : First{};
    second[i] = Transposed ? read<Second>(c.row(i) + first_width<First>) : Second{};
  });
  for (int64_t k = 0; k < depth; ++k) {
    const First b_first = read<First>(b.row(k));
    const Second b_second = read<Second>(b.row(k) + first_width<First>);
    unrolled<Rows>([&](auto i) {
      const float element = Transposed ? a.row(k)[i] : a.row(i)[k];
      multiply_add(first[i], element, b_first);
      multiply_add(second[i], element, b_second);
    });
  }
  unrolled<Rows>([&](auto i) {
    write(c.row(i), first[i]);
    write(c.row(i) + first_width<First>, second[i]);
  });
}

using micro_kernel_function = void (*)(matrix c, matrix a, matrix b, int64_t depth);

/// Micro-kernels for every height 1 … tile_rows.
template <bool Transposed, class First, class Second>
constexpr auto micro_kernels_of = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array<micro_kernel_function, tile_rows>{micro_kernel<I + 1, Transposed, First, Second>...};
}
(std::make_integer_sequence<int, tile_rows>{});

/// Micro-kernels of the narrowest panel that holds `columns`, or of the widest if none does.
template <bool Transposed> const auto& micro_kernels_for(int64_t columns) {
  if (columns <= lanes / 2) return micro_kernels_of<Transposed, half_vec, no_vec>;
  if (columns <= lanes) return micro_kernels_of<Transposed, vec, no_vec>;
  if (columns <= lanes + lanes / 2) return micro_kernels_of<Transposed, vec, half_vec>;
  return micro_kernels_of<Transposed, vec, vec>;
}

template <bool Transposed>
void multiply(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns) {
  const int64_t bands = (rows + tile_rows - 1) / tile_rows;
  for (int64_t column = 0; column < columns; column += 2 * lanes) {
    const auto& kernels = micro_kernels_for<Transposed>(columns - column);
    // Bands of nearly equal height, because a short one has too few accumulators to hide the latency of its
    // FMAs.
    for (int64_t band = 0; band < bands; ++band) {
      const int64_t begin = rows * band / bands, end = rows * (band + 1) / bands;
      const matrix a_band = Transposed ? a.from_column(begin) : a.from_row(begin);
      kernels[size_t(end - begin - 1)](c.from_row(begin).from_column(column), a_band, b.from_column(column),
                                       depth);
    }
  }
}

}  // namespace

void small_gemm(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns) {
  multiply<false>(c, a, b, rows, depth, columns);
}

void small_gemm_tn_add(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns) {
  multiply<true>(c, a, b, rows, depth, columns);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
