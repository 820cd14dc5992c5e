#pragma once
// Host implementation of csrc/cuda/device/bf16.cuh: round to nearest, ties to even.

#include <bit>
#include <cstdint>

#include "cuda/device/thread.cuh"
#include "cuda/device/vector.cuh"

namespace eva::cuda::device {

struct bf16 {
  uint16_t bits;
};

inline float to_float(bf16 value) { return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }

inline bf16 to_bf16(float value) {
  if (value != value) return {0x7fff};
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline float as_float(uint32_t word) { return std::bit_cast<float>(word); }
inline uint32_t as_word(float value) { return std::bit_cast<uint32_t>(value); }

inline float to_float(float value) { return value; }
template <class T> T from_float(float value) {
  if constexpr (sizeof(T) == sizeof(float))
    return value;
  else
    return to_bf16(value);
}

inline uint32_t pack_bf16(float first, float second) {
  return to_bf16(first).bits | static_cast<uint32_t>(to_bf16(second).bits) << 16;
}

inline pair unpack_bf16(uint32_t word) {
  return {std::bit_cast<float>(word << 16), std::bit_cast<float>(word & 0xffff0000u)};
}

}  // namespace eva::cuda::device
