#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

// Floating-point types as stored in files, and conversions between them: round to nearest, ties to even; NaN
// stays NaN. They use integer arithmetic or no subnormal operands, because device threads flush subnormals to
// zero.
namespace eva {

enum class stored_dtype : uint8_t { f64, f32, f16, bf16 };

constexpr int64_t size_of(stored_dtype type) {
  switch (type) {
    case stored_dtype::f64:
      return 8;
    case stored_dtype::f32:
      return 4;
    case stored_dtype::f16:
    case stored_dtype::bf16:
      return 2;
  }
  return 0;
}

/// The bit pattern of an IEEE double, single or half, or of a bf16, with the sizes of its fields.
template <class Word, int FractionBits> struct pattern {
  using word = Word;
  static constexpr int bits = 8 * sizeof(Word), fraction_bits = FractionBits;
  static constexpr int exponent_bits = bits - 1 - fraction_bits, bias = (1 << (exponent_bits - 1)) - 1;
  static constexpr Word infinity = Word(((Word(1) << exponent_bits) - 1) << fraction_bits);

  Word value;
};

using f64_pattern = pattern<uint64_t, 52>;
using f32_pattern = pattern<uint32_t, 23>;
using f16_pattern = pattern<uint16_t, 10>;
using bf16_pattern = pattern<uint16_t, 7>;

/// Rounds to the nearest value of a narrower format; overflow gives infinity. Branch-free, like all
/// conversions, so that the compiler can vectorize it.
template <class To, class From> constexpr To narrowed(From from) {
  using word = typename From::word;
  constexpr word one = word(1) << From::fraction_bits;  // the implicit leading one of the significand
  constexpr word shift = From::fraction_bits - To::fraction_bits;
  constexpr word lost_exponents = From::bias - To::bias;
  const word magnitude = from.value & word(~(word(1) << (From::bits - 1)));
  const word sign = from.value >> (From::bits - 1) << (To::bits - 1);

  word value = magnitude - (lost_exponents << From::fraction_bits), down = shift;
  if constexpr (lost_exponents != 0) {
    // Subnormal in the narrow format: the leading one becomes explicit, and the significand is shifted right,
    // down to 0.
    const word exponent = magnitude >> From::fraction_bits;
    const word further = shift + 1 + lost_exponents - exponent, all = From::fraction_bits + 2;
    value = exponent > lost_exponents ? value : (magnitude & (one - 1)) | one;
    down = exponent > lost_exponents ? shift : further < all ? further : all;
  }
  // A carry out of the fraction increments the exponent, which is the correct result of rounding up.
  const word rounded = (value + (word(1) << (down - 1)) - 1 + (value >> down & 1)) >> down;
  const word finite = rounded < To::infinity ? rounded : word(To::infinity);
  // A NaN keeps the upper bits of its payload; setting the quiet bit ensures that the result is a NaN.
  const word quiet = word(1) << (To::fraction_bits - 1);
  const word nan = To::infinity | quiet | (magnitude & (one - 1)) >> shift;
  return {typename To::word(sign | (magnitude > From::infinity ? nan : finite))};
}

constexpr f32_pattern widened(f16_pattern from) {
  constexpr uint32_t rebias = uint32_t(127 - 15) << 23;
  const uint32_t magnitude = from.value & 0x7fffu, sign = uint32_t(from.value & 0x8000u) << 16;
  const uint32_t normal = (magnitude << 13) + rebias, special = normal + rebias;
  const uint32_t subnormal = std::bit_cast<uint32_t>(float(int32_t(magnitude)) * 0x1p-24f);
  const uint32_t finite = magnitude < 0x0400u ? subnormal : normal;
  return {sign | (magnitude < 0x7c00u ? finite : special)};
}

constexpr f32_pattern widened(bf16_pattern from) { return {uint32_t(from.value) << 16}; }

template <class To, class From> constexpr To converted(From from) {
  if constexpr (std::is_same_v<To, From>)
    return from;
  else if constexpr (To::bits < From::bits)
    return narrowed<To>(from);
  else if constexpr (To::bits == 32)
    return widened(from);
  else
    return narrowed<To>(widened(from));  // f16 to bf16 and back, through f32, which represents both exactly
}

static_assert(narrowed<f16_pattern>(f32_pattern{0x3f800000}).value == 0x3c00);
static_assert(narrowed<f16_pattern>(f32_pattern{0x33000001}).value == 1);
static_assert(narrowed<f16_pattern>(f32_pattern{0x33000000}).value == 0);
static_assert(widened(f16_pattern{1}).value == 0x33800000);

}  // namespace eva
