#pragma once

#include "cpu/simd.h"

// SIMD for 8-bit pixels: a register of bytes is `blocks` blocks of 16, and each operation works within
// blocks.
namespace eva::cpu::EVA_CLIP_ISA {

inline constexpr int blocks = lanes / 4;

using byte_vec [[gnu::vector_size(16 * blocks)]] = uint8_t;
using short_vec [[gnu::vector_size(16 * blocks)]] = int16_t;

inline byte_vec load_bytes(const void* p) {
  byte_vec x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

/// The same `T` in all places.
template <class Vector, class T> inline Vector repeated(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  using values [[gnu::vector_size(16 * blocks)]] = T;
  return Vector(values{} + value);
}

// What GCC's vector extensions lack: 16 bytes of each row; bytes chosen within each block, where an index of
// 128 or more gives 0; the bytes of a and b in turn; a0 b0 + a1 b1 of each pair; narrowing with saturation.
#if defined(__AVX512F__)
inline constexpr __mmask64 all_bytes = ~__mmask64{0};
inline constexpr __mmask32 all_shorts = ~__mmask32{0};
inline byte_vec load_blocks(const uint8_t* const* rows, int64_t at) {
  const auto block = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i] + at)); };
  __m512i x = _mm512_castsi128_si512(block(0));
  x = _mm512_maskz_inserti32x4(all_lanes, x, block(1), 1);
  x = _mm512_maskz_inserti32x4(all_lanes, x, block(2), 2);
  return byte_vec(_mm512_maskz_inserti32x4(all_lanes, x, block(3), 3));
}
inline byte_vec shuffle(byte_vec x, byte_vec indices) {
  return byte_vec(_mm512_maskz_shuffle_epi8(all_bytes, __m512i(x), __m512i(indices)));
}
inline byte_vec interleave_low(byte_vec a, byte_vec b) {
  return byte_vec(_mm512_maskz_unpacklo_epi8(all_bytes, __m512i(a), __m512i(b)));
}
inline byte_vec interleave_high(byte_vec a, byte_vec b) {
  return byte_vec(_mm512_maskz_unpackhi_epi8(all_bytes, __m512i(a), __m512i(b)));
}
inline ivec multiply_add(short_vec a, short_vec b) {
  return ivec(_mm512_maskz_madd_epi16(all_lanes, __m512i(a), __m512i(b)));
}
inline short_vec narrow(ivec a, ivec b) {
  return short_vec(_mm512_maskz_packs_epi32(all_shorts, __m512i(a), __m512i(b)));
}
inline byte_vec narrow(short_vec a, short_vec b) {
  return byte_vec(_mm512_maskz_packus_epi16(all_bytes, __m512i(a), __m512i(b)));
}
#elif defined(__AVX2__)
inline byte_vec load_blocks(const uint8_t* const* rows, int64_t at) {
  const auto block = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i] + at)); };
  return byte_vec(_mm256_inserti128_si256(_mm256_castsi128_si256(block(0)), block(1), 1));
}
inline byte_vec shuffle(byte_vec x, byte_vec indices) {
  return byte_vec(_mm256_shuffle_epi8(__m256i(x), __m256i(indices)));
}
inline byte_vec interleave_low(byte_vec a, byte_vec b) {
  return byte_vec(_mm256_unpacklo_epi8(__m256i(a), __m256i(b)));
}
inline byte_vec interleave_high(byte_vec a, byte_vec b) {
  return byte_vec(_mm256_unpackhi_epi8(__m256i(a), __m256i(b)));
}
inline ivec multiply_add(short_vec a, short_vec b) { return ivec(_mm256_madd_epi16(__m256i(a), __m256i(b))); }
inline short_vec narrow(ivec a, ivec b) { return short_vec(_mm256_packs_epi32(__m256i(a), __m256i(b))); }
inline byte_vec narrow(short_vec a, short_vec b) {
  return byte_vec(_mm256_packus_epi16(__m256i(a), __m256i(b)));
}
#else
inline byte_vec load_blocks(const uint8_t* const* rows, int64_t at) { return load_bytes(rows[0] + at); }
#if defined(__SSE4_2__)
inline byte_vec shuffle(byte_vec x, byte_vec indices) {
  return byte_vec(_mm_shuffle_epi8(__m128i(x), __m128i(indices)));
}
inline byte_vec interleave_low(byte_vec a, byte_vec b) {
  return byte_vec(_mm_unpacklo_epi8(__m128i(a), __m128i(b)));
}
inline byte_vec interleave_high(byte_vec a, byte_vec b) {
  return byte_vec(_mm_unpackhi_epi8(__m128i(a), __m128i(b)));
}
inline ivec multiply_add(short_vec a, short_vec b) { return ivec(_mm_madd_epi16(__m128i(a), __m128i(b))); }
inline short_vec narrow(ivec a, ivec b) { return short_vec(_mm_packs_epi32(__m128i(a), __m128i(b))); }
inline byte_vec narrow(short_vec a, short_vec b) {
  return byte_vec(_mm_packus_epi16(__m128i(a), __m128i(b)));
}
#else
inline byte_vec shuffle(byte_vec x, byte_vec indices) {
  byte_vec chosen{};
  for (int i = 0; i < 16; ++i) chosen[i] = indices[i] < 128 ? x[indices[i] & 15] : uint8_t(0);
  return chosen;
}
inline byte_vec interleave_low(byte_vec a, byte_vec b) {
  byte_vec both{};
  for (int i = 0; i < 8; ++i) both[2 * i] = a[i], both[2 * i + 1] = b[i];
  return both;
}
inline byte_vec interleave_high(byte_vec a, byte_vec b) {
  byte_vec both{};
  for (int i = 0; i < 8; ++i) both[2 * i] = a[8 + i], both[2 * i + 1] = b[8 + i];
  return both;
}
inline ivec multiply_add(short_vec a, short_vec b) {
  ivec sums{};
  for (int i = 0; i < 4; ++i) sums[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return sums;
}
inline short_vec narrow(ivec a, ivec b) {
  short_vec both{};
  const auto saturated = [](int32_t x) { return int16_t(x < -0x8000 ? -0x8000 : x > 0x7fff ? 0x7fff : x); };
  for (int i = 0; i < 4; ++i) both[i] = saturated(a[i]), both[4 + i] = saturated(b[i]);
  return both;
}
inline byte_vec narrow(short_vec a, short_vec b) {
  byte_vec both{};
  const auto saturated = [](int16_t x) { return uint8_t(x < 0 ? 0 : x > 255 ? 255 : x); };
  for (int i = 0; i < 8; ++i) both[i] = saturated(a[i]), both[8 + i] = saturated(b[i]);
  return both;
}
#endif
#endif

}  // namespace eva::cpu::EVA_CLIP_ISA
