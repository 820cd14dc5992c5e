#pragma once

#include <cstdint>

#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A row-major matrix in scratch memory. Rows are padded to whole vectors; GEMMs may compute the padding,
/// too, but it is never used.
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
void small_gemm(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns);

/// c [rows, columns] += aᵀ b with a [depth, rows] and b [depth, columns]
void small_gemm_tn_add(matrix c, matrix a, matrix b, int64_t rows, int64_t depth, int64_t columns);

}  // namespace eva::cpu::EVA_CLIP_ISA
