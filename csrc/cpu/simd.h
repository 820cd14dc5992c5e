#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "core/dtype.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// SIMD for all kernels: `vec` is one register of floats, arithmetic uses operators (a * b + c becomes one
// FMA), and comparisons give an `ivec` mask for `select`. `sweep` iterates over a row of any length.
namespace eva::cpu::EVA_CLIP_ISA {

#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX2__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif

using vec [[gnu::vector_size(lanes * 4)]] = float;
using ivec [[gnu::vector_size(lanes * 4)]] = int32_t;
using uvec [[gnu::vector_size(lanes * 4)]] = uint32_t;
/// A vector of bf16 as stored in memory.
using bf16_vec [[gnu::vector_size(lanes * 2)]] = uint16_t;

/// The width of a full vector, a compile-time constant; partial widths are ints in 1 … lanes-1.
using whole = std::integral_constant<int, lanes>;

inline vec broadcast(float value) { return vec{} + value; }
inline ivec broadcast(int32_t value) { return ivec{} + value; }
inline vec select(ivec mask, vec yes, vec no) { return mask ? yes : no; }

// What GCC's vector extensions lack, per instruction set. `maximum` and `minimum` give b if either is NaN;
// `ldexp` is x 2^n for any integer n; `gather` reads p[index] per lane; `zero_extend` is one instruction
// where GCC 12 would emit five.
#if defined(__AVX512F__)
// Masked intrinsics with a full mask compile to the unmasked instructions, without GCC 12's false warnings
// about those.
inline constexpr __mmask16 all_lanes = 0xffff;
inline vec maximum(vec a, vec b) { return _mm512_maskz_max_ps(all_lanes, a, b); }
inline vec minimum(vec a, vec b) { return _mm512_maskz_min_ps(all_lanes, a, b); }
inline vec sqrt(vec x) { return _mm512_maskz_sqrt_ps(all_lanes, x); }
inline vec ldexp(vec x, vec n) { return _mm512_maskz_scalef_ps(all_lanes, x, n); }
/// 1 / x within 1 ULP for |x| from 2^-125 to 2^125: an estimate of 14 bits and a step of Newton's method cost
/// a quarter of a division.
inline vec reciprocal(vec x) {
  const vec y = _mm512_maskz_rcp14_ps(all_lanes, x);
  return y + y * (1.0f - x * y);
}
/// 1 / sqrt(x) within 2 ULP for x from 2^-125 to 2^125.
inline vec reciprocal_sqrt(vec x) {
  const vec y = _mm512_maskz_rsqrt14_ps(all_lanes, x);
  return y + y * (0.5f - 0.5f * x * y * y);
}
inline __mmask16 first(int count) { return __mmask16((1u << count) - 1); }
inline vec load(const float* p, int count) { return _mm512_maskz_loadu_ps(first(count), p); }
inline void store(float* p, vec x, int count) { _mm512_mask_storeu_ps(p, first(count), x); }
inline uvec gather(const uint32_t* p, ivec index) {
  return uvec(_mm512_mask_i32gather_epi32(__m512i{}, all_lanes, __m512i(index), p, 4));
}
inline uvec zero_extend(bf16_vec x) { return uvec(_mm512_maskz_cvtepu16_epi32(all_lanes, __m256i(x))); }
#else
/// 2^n for n in -126 … 127.
inline vec power_of_two(ivec n) { return std::bit_cast<vec>((n + 127) << 23); }
inline vec ldexp(vec x, vec n) {
  // Two factors, because 2^n alone may overflow or underflow when x 2^n does not.
  const ivec whole_n = __builtin_convertvector(n, ivec), half = whole_n >> 1;
  return x * power_of_two(half) * power_of_two(whole_n - half);
}
inline vec reciprocal(vec x) { return 1.0f / x; }
#if defined(__AVX2__)
inline vec maximum(vec a, vec b) { return _mm256_max_ps(a, b); }
inline vec minimum(vec a, vec b) { return _mm256_min_ps(a, b); }
inline vec sqrt(vec x) { return _mm256_sqrt_ps(x); }
inline __m256i first(int count) { return __m256i(ivec{0, 1, 2, 3, 4, 5, 6, 7} < broadcast(int32_t(count))); }
inline vec load(const float* p, int count) { return _mm256_maskload_ps(p, first(count)); }
inline void store(float* p, vec x, int count) { _mm256_maskstore_ps(p, first(count), x); }
inline uvec gather(const uint32_t* p, ivec index) {
  return uvec(_mm256_i32gather_epi32(reinterpret_cast<const int*>(p), __m256i(index), 4));
}
inline uvec zero_extend(bf16_vec x) { return uvec(_mm256_cvtepu16_epi32(__m128i(x))); }
#else
#if defined(__SSE2__)
inline vec maximum(vec a, vec b) { return _mm_max_ps(a, b); }
inline vec minimum(vec a, vec b) { return _mm_min_ps(a, b); }
inline vec sqrt(vec x) { return _mm_sqrt_ps(x); }
#else
inline vec maximum(vec a, vec b) { return a > b ? a : b; }
inline vec minimum(vec a, vec b) { return a < b ? a : b; }
inline vec sqrt(vec x) {
  for (int i = 0; i < lanes; ++i) x[i] = std::sqrt(x[i]);
  return x;
}
#endif
inline vec load(const float* p, int count) {
  vec x{};
  for (int i = 0; i < count; ++i) x[i] = p[i];
  return x;
}
inline void store(float* p, vec x, int count) {
  for (int i = 0; i < count; ++i) p[i] = x[i];
}
inline uvec gather(const uint32_t* p, ivec index) {
  uvec words;
  for (int i = 0; i < lanes; ++i) words[i] = p[index[i]];
  return words;
}
inline uvec zero_extend(bf16_vec x) { return __builtin_convertvector(x, uvec); }
#endif
inline vec reciprocal_sqrt(vec x) { return 1.0f / sqrt(x); }
#endif

inline vec widen(bf16_vec bits) { return std::bit_cast<vec>(zero_extend(bits) << 16); }
/// Rounds to nearest, ties to even, like bf16's constructor; NaN stays NaN. The instruction takes subnormals
/// for zero, as arithmetic on a device's threads does.
inline bf16_vec narrow(vec x) {
#if defined(__AVX512BF16__)
  return std::bit_cast<bf16_vec>(_mm512_cvtneps_pbh(x));
#else
  const uvec word = std::bit_cast<uvec>(x);
  const uvec rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
  return __builtin_convertvector((x == x) ? rounded : (word >> 16 | 0x40u), bf16_vec);
#endif
}

// Memory may be unaligned. Partial loads fill with zeros; memory beyond `count` is not accessed.
inline vec load(const float* p, whole = {}) {
  vec x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
inline vec load(const bf16* p, whole = {}) {
  bf16_vec bits;
  std::memcpy(&bits, p, sizeof bits);
  return widen(bits);
}
inline vec load(const bf16* p, int count) {
#if defined(__AVX512F__)
  return widen(bf16_vec(_mm256_maskz_loadu_epi16(first(count), p)));
#else
  bf16_vec bits{};
  for (int i = 0; i < count; ++i) bits[i] = p[i].bits;
  return widen(bits);
#endif
}
inline void store(float* p, vec x, whole = {}) { std::memcpy(p, &x, sizeof x); }
inline void store(bf16* p, vec x, whole = {}) {
  const bf16_vec bits = narrow(x);
  std::memcpy(static_cast<void*>(p), &bits, sizeof bits);
}
inline void store(bf16* p, vec x, int count) {
  const bf16_vec bits = narrow(x);
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(p, first(count), __m256i(bits));
#else
  for (int i = 0; i < count; ++i) p[i].bits = bits[i];
#endif
}

/// Calls body(i, width) for each vector of [0, count): `whole` vectors, then the remainder, if any.
template <class Body> inline void sweep(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, whole{});
  if (i < count) body(i, int(count - i));
}

/// 0, 1, 2, …
inline ivec lane_indices() {
  return []<size_t... I>(std::index_sequence<I...>) { return ivec{int32_t(I)...}; }
  (std::make_index_sequence<lanes>());
}

/// x in the first `count` lanes, zero in the others.
inline vec first_lanes(vec x, whole) { return x; }
inline vec first_lanes(vec x, int count) {
  return select(lane_indices() < broadcast(int32_t(count)), x, vec{});
}

/// Lane i of the result is lane (i + Shift) mod lanes of x.
template <int Shift> inline vec rotate(vec x) {
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return __builtin_shufflevector(x, x, int((I + Shift) % lanes)...);
  }
  (std::make_index_sequence<lanes>());
}

inline float reduce_add(vec x) {
  if constexpr (lanes > 8) x += rotate<8>(x);
  if constexpr (lanes > 4) x += rotate<4>(x);
  x += rotate<2>(x);
  return (x + rotate<1>(x))[0];
}

/// The sum of term(i, width) over all lanes of [0, count), in 4 × lanes partial sums.
template <class Term> inline float sum_over(int64_t count, const Term& term) {
  vec a{}, b{}, c{}, d{};
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    a += term(i, whole{});
    b += term(i + lanes, whole{});
    c += term(i + 2 * lanes, whole{});
    d += term(i + 3 * lanes, whole{});
  }
  for (; i + lanes <= count; i += lanes) a += term(i, whole{});
  if (i < count) b += first_lanes(term(i, int(count - i)), int(count - i));
  return reduce_add((a + b) + (c + d));
}

inline float reduce_max(vec x) {
  if constexpr (lanes > 8) x = maximum(x, rotate<8>(x));
  if constexpr (lanes > 4) x = maximum(x, rotate<4>(x));
  x = maximum(x, rotate<2>(x));
  return maximum(x, rotate<1>(x))[0];
}

inline vec absolute(vec x) { return std::bit_cast<vec>(std::bit_cast<ivec>(x) & 0x7fffffff); }
/// The magnitude of `x` with the sign of `sign`.
inline vec copy_sign(vec x, vec sign) {
  const ivec mask = broadcast(int32_t(0x7fffffff));
  return std::bit_cast<vec>((std::bit_cast<ivec>(x) & mask) | (std::bit_cast<ivec>(sign) & ~mask));
}

/// Horner's rule, the coefficient of the highest power first.
template <class... Rest> inline vec polynomial(vec x, float highest, Rest... rest) {
  vec sum = broadcast(highest);
  ((sum = sum * x + rest), ...);
  return sum;
}

/// e^x within 2 ULP, including zero, subnormal and infinite results.
inline vec exp(vec x) {
  // Beyond these bounds the result is 0 or infinity; within them n and the remainder are finite.
  x = minimum(broadcast(90.0f), maximum(broadcast(-105.0f), x));
  // Adding 1.5 · 2^23 leaves no fraction bits, which rounds to the nearest integer.
  constexpr float round = 0x1.8p23f;
  const vec n = (x * 1.44269504f + round) - round;
  // Cody-Waite range reduction: ln 2 in two parts, the first with so few bits that its product with n is
  // exact.
  const vec r = (x - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f;
  const vec tail = polynomial(r, 1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                              1.6666665459e-1f, 0.5f);
  return ldexp(tail * (r * r) + r + 1.0f, n);
}

/// 2^x within 2 ULP, including zero, subnormal and infinite results (Moshier, Cephes, exp2f).
inline vec exp2(vec x) {
  x = minimum(broadcast(130.0f), maximum(broadcast(-152.0f), x));
  constexpr float round = 0x1.8p23f;
  const vec n = (x + round) - round;
  return ldexp(polynomial(x - n, 1.535336188319500e-4f, 1.339887440266574e-3f, 9.618437357674640e-3f,
                          5.550332471162809e-2f, 2.402264791363012e-1f, 6.931472028550421e-1f, 1.0f),
               n);
}

/// ln x within 2 ULP; -infinity at 0, NaN below.
inline vec log(vec x) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const ivec tiny = x < std::numeric_limits<float>::min();
  const vec scaled = select(tiny, x * 0x1p25f, x);
  // x = m 2^e with m in sqrt(1/2) … sqrt(2).
  const uvec shifted =
      std::bit_cast<uvec>(scaled) - std::bit_cast<uint32_t>(0x1.6a09e6p-1f);  // wraps around below 0
  const ivec bits = std::bit_cast<ivec>(shifted);
  const vec e = __builtin_convertvector(bits >> 23, vec) - select(tiny, broadcast(25.0f), vec{});
  const vec m = std::bit_cast<vec>((bits & 0x7fffff) + std::bit_cast<int32_t>(0x1.6a09e6p-1f)) - 1.0f;
  const vec square = m * m;
  const vec tail =
      polynomial(m, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f,
                 1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f) *
      (m * square);
  vec result = (tail + e * -2.12194440e-4f - 0.5f * square) + m + e * 0.693359375f;
  result = select(x == infinity, x, result);
  result = select(x == 0.0f, broadcast(-infinity), result);
  return select(x >= 0.0f, result, broadcast(std::numeric_limits<float>::quiet_NaN()));
}

/// 1 / (1 + e^-x), with a divisor from 1 to 2 for both signs.
inline vec sigmoid(vec x) {
  const vec e = exp(-absolute(x));
  return select(x < 0.0f, e, broadcast(1.0f)) * reciprocal(1.0f + e);
}

inline vec tanh(vec x) {
  const vec square = x * x;
  // Near zero the quotient below would cancel (both forms: Moshier, Cephes, tanhf).
  const vec near_zero = polynomial(square, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                                   1.33314422036e-1f, -3.33332819422e-1f) *
                            square * x +
                        x;
  const vec far = copy_sign(1.0f - 2.0f / (exp(2.0f * absolute(x)) + 1.0f), x);
  return select(absolute(x) < 0.625f, near_zero, far);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
