#pragma once

#include <cstdint>

#include "cpu/attention/small_gemm.h"

namespace eva::cpu::EVA_CLIP_ISA {

// GEMMs of bf16 in words of two: a word of a holds neighbors of a row, a word of b neighbors of a column, so
// that one instruction multiplies and adds both.

/// Whether this variant and the processor have pair_gemm, and it is faster than small_gemm: on AMX tiles, and
/// on AMD, where AVX512_BF16 doubles the rate of FMAs (Intel executes a VDPBF16PS in the time of two FMAs and
/// more).
bool pair_gemm_pays();

/// Matrices have whole units of memory: rows of a and c in units of 16, words of depth 16, columns 32. The
/// padding of a and b along the depth must be zero; that of c is never used.
inline constexpr int64_t row_unit = 16, depth_unit = 16, column_unit = 32;

constexpr int64_t whole_units(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

/// c [rows, columns] = a b, or c += a b if `add`, with a [rows, words] and b [words, columns].
void pair_gemm(matrix c, matrix a, matrix b, int64_t rows, int64_t words, int64_t columns, bool add = false);

/// Around the pair_gemm calls of a thread: it configures the AMX tiles.
class pair_gemm_scope {
 public:
  pair_gemm_scope();
  ~pair_gemm_scope();
  pair_gemm_scope(const pair_gemm_scope&) = delete;
  pair_gemm_scope& operator=(const pair_gemm_scope&) = delete;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
