#include "cpu/attention/pair_gemm.h"

#include "cpu/amx.h"
#include "cpu/unrolled.h"

#if defined(__AVX512BF16__)
#include <array>
#include <bit>
#include <cstring>
#include <utility>
#endif

namespace eva::cpu::EVA_CLIP_ISA {

#if defined(__AVX512BF16__)

namespace amx {
namespace {

void multiply(matrix c, matrix a, matrix b, int64_t rows, int64_t words, int64_t columns, bool add) {
  const auto bytes = [](const float* at) { return reinterpret_cast<const std::byte*>(at); };
  constexpr int64_t word_bytes = sizeof(float);
  for (int64_t column = 0; column < columns; column += 2 * side)
    for (int64_t row = 0; row < rows; row += 2 * side) {
      const matrix left = a.from_row(row), right = b.from_column(column);
      multiply_block(
          c.from_row(row).from_column(column).data, c.stride,
          {bytes(left.data), bytes(left.row(side)), a.stride * word_bytes, side * word_bytes},
          {bytes(right.data), bytes(right.data + side), b.stride * word_bytes, side * b.stride * word_bytes},
          (words + side - 1) / side, add, rows - row, columns - column);
    }
}

}  // namespace
}  // namespace amx

namespace {

/// Height of the register tile: two accumulators per row, two registers of b and one word of a.
constexpr int tile_rows = 14;

/// A word as bits: as a float it might be subnormal.
int32_t bits_at(const float* word) {
  int32_t bits;
  std::memcpy(&bits, word, sizeof bits);
  return bits;
}

template <int Rows> void dot_kernel(matrix c, matrix a, matrix b, int64_t words, bool add) {
  vec first[Rows], second[Rows];
  unrolled<Rows>([&](auto i) {
    first[i] = add ? load(c.row(i)) : vec{};
    second[i] = add ? load(c.row(i) + lanes) : vec{};
  });
  for (int64_t k = 0; k < words; ++k) {
    const auto b_first = std::bit_cast<__m512bh>(load(b.row(k)));
    const auto b_second = std::bit_cast<__m512bh>(load(b.row(k) + lanes));
    unrolled<Rows>([&](auto i) {
      const auto word = std::bit_cast<__m512bh>(broadcast(bits_at(a.row(i) + k)));
      first[i] = _mm512_dpbf16_ps(first[i], word, b_first);
      second[i] = _mm512_dpbf16_ps(second[i], word, b_second);
    });
  }
  unrolled<Rows>([&](auto i) {
    store(c.row(i), first[i]);
    store(c.row(i) + lanes, second[i]);
  });
}

/// Micro-kernels for every height 1 … tile_rows.
constexpr auto dot_kernels = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array{dot_kernel<I + 1>...};
}
(std::make_integer_sequence<int, tile_rows>{});

void dot_multiply(matrix c, matrix a, matrix b, int64_t rows, int64_t words, int64_t columns, bool add) {
  const int64_t bands = (rows + tile_rows - 1) / tile_rows;
  for (int64_t column = 0; column < columns; column += 2 * lanes)
    for (int64_t band = 0; band < bands; ++band) {
      const int64_t begin = rows * band / bands, end = rows * (band + 1) / bands;
      dot_kernels[size_t(end - begin - 1)](c.from_row(begin).from_column(column), a.from_row(begin),
                                           b.from_column(column), words, add);
    }
}

}  // namespace

bool pair_gemm_pays() { return amx::permitted() || __builtin_cpu_is("amd"); }

pair_gemm_scope::pair_gemm_scope() {
  if (amx::permitted()) amx::enter();
}

pair_gemm_scope::~pair_gemm_scope() {
  if (amx::permitted()) amx::leave();
}

void pair_gemm(matrix c, matrix a, matrix b, int64_t rows, int64_t words, int64_t columns, bool add) {
  if (amx::permitted())
    amx::multiply(c, a, b, rows, words, columns, add);
  else
    dot_multiply(c, a, b, rows, words, columns, add);
}

#else

bool pair_gemm_pays() { return false; }
pair_gemm_scope::pair_gemm_scope() = default;
pair_gemm_scope::~pair_gemm_scope() = default;
void pair_gemm(matrix, matrix, matrix, int64_t, int64_t, int64_t, bool) {}

#endif

}  // namespace eva::cpu::EVA_CLIP_ISA
