#pragma once

#include <cstdint>

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A row-major matrix in scratch memory. Rows are padded to whole vectors; what the padding holds is never
/// used, though products may compute it too.
struct matrix {
  float* data;
  int64_t stride;

  float* row(int64_t i) const { return data + i * stride; }
  matrix from_row(int64_t i) const { return {row(i), stride}; }
  matrix from_column(int64_t i) const { return {data + i, stride}; }
};

/// `count` rounded up to whole vectors.
constexpr int64_t whole_vectors(int64_t count) { return (count + lanes - 1) / lanes * lanes; }

/// c [rows, columns] = a [rows, depth] b [depth, columns]
void product(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns);

/// c [rows, columns] += aᵀ b with a [depth, rows] and b [depth, columns]
void add_transposed_product(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns);

}  // namespace eva::cpu::EVA_CLIP_ISA
