#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace eva {

/// Element types. `none` marks an absent tensor, such as an optional input that was not given.
enum class dtype : uint8_t { none, f32, bf16, i32, u8 };

constexpr int64_t size_of(dtype type) {
  switch (type) {
    case dtype::f32:
    case dtype::i32:
      return 4;
    case dtype::bf16:
      return 2;
    case dtype::u8:
      return 1;
    case dtype::none:
      return 0;
  }
  return 0;
}

constexpr std::string_view to_string(dtype type) {
  switch (type) {
    case dtype::f32:
      return "f32";
    case dtype::bf16:
      return "bf16";
    case dtype::i32:
      return "i32";
    case dtype::u8:
      return "u8";
    case dtype::none:
      return "none";
  }
  return "none";
}

constexpr bool is_float(dtype type) { return type == dtype::f32 || type == dtype::bf16; }

/// bfloat16: the upper half of an IEEE single, with 8 exponent bits and 7 fraction bits.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  /// Rounds to nearest, ties to even; NaN stays a (quiet) NaN.
  explicit bf16(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value);
    const bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? uint16_t(word >> 16 | 0x40u) : uint16_t((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

}  // namespace eva
