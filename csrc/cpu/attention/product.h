#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A row-major matrix in scratch memory. Rows are padded to whole vectors; what the padding holds is never
/// used, though products compute it too.
struct matrix {
  float* data;
  int64_t stride;

  float* row(int64_t i) const { return data + i * stride; }
  matrix from_row(int64_t i) const { return {row(i), stride}; }
  matrix from_column(int64_t i) const { return {data + i, stride}; }
};

/// `count` rounded up to whole vectors.
constexpr int64_t whole_vectors(int64_t count) { return (count + lanes - 1) / lanes * lanes; }

/// A register tile is as high as the register file allows: tile_rows × tile_vectors sums, one row of b and
/// one element of a.
inline constexpr int tile_rows = lanes == 16 ? 14 : 6;
inline constexpr int tile_vectors = 2;

/// c = a b, or c += aᵀ b when `Transposed`, for Rows × Vectors of c.
template <int Rows, int Vectors, bool Transposed>
void multiply_tile(matrix c, matrix a, matrix b, int64_t depth) {
  vec sum[Rows][Vectors];
  for (int i = 0; i < Rows; ++i)
    for (int j = 0; j < Vectors; ++j) sum[i][j] = Transposed ? load(c.row(i) + j * lanes) : vec{};
  for (int64_t k = 0; k < depth; ++k) {
    vec b_row[Vectors];
    for (int j = 0; j < Vectors; ++j) b_row[j] = load(b.row(k) + j * lanes);
    for (int i = 0; i < Rows; ++i) {
      const vec element = broadcast(Transposed ? a.row(k)[i] : a.row(i)[k]);
      for (int j = 0; j < Vectors; ++j) sum[i][j] += element * b_row[j];
    }
  }
  for (int i = 0; i < Rows; ++i)
    for (int j = 0; j < Vectors; ++j) store(c.row(i) + j * lanes, sum[i][j]);
}

using tile_function = void (*)(matrix c, matrix a, matrix b, int64_t depth);

/// The tiles of every height 1 … tile_rows.
template <int Vectors, bool Transposed>
inline constexpr auto tiles_of = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array<tile_function, tile_rows>{multiply_tile<I + 1, Vectors, Transposed>...};
}
(std::make_integer_sequence<int, tile_rows>{});

template <bool Transposed>
void multiply(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns) {
  static_assert(tile_vectors == 2);
  const int64_t bands = (rows + tile_rows - 1) / tile_rows;
  for (int64_t column = 0; column < columns; column += tile_vectors * lanes) {
    const auto& tiles = column + lanes < columns ? tiles_of<2, Transposed> : tiles_of<1, Transposed>;
    // Bands of nearly equal height, because a low one has too few sums to hide the latency of its additions.
    for (int64_t band = 0; band < bands; ++band) {
      const int64_t begin = rows * band / bands, end = rows * (band + 1) / bands;
      const float* a_part = Transposed ? a.data + begin : a.row(begin);
      tiles[size_t(end - begin - 1)]({c.row(begin) + column, c.stride},
                                     {const_cast<float*>(a_part), a.stride}, {b.data + column, b.stride},
                                     depth);
    }
  }
}

/// c [rows, columns] = a [rows, depth] b [depth, columns]
inline void product(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns) {
  multiply<false>(c, a, b, rows, depth, columns);
}

/// c [rows, columns] += aᵀ b with a [depth, rows] and b [depth, columns]
inline void add_transposed_product(matrix c, matrix a, matrix b, int64_t rows, int64_t depth,
                                   int64_t columns) {
  multiply<true>(c, a, b, rows, depth, columns);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
