#pragma once
// bf16, and pairs of it packed in a word, the first in the low half.

#include <cuda_bf16.h>

#include "cuda/device/vector.cuh"

namespace eva::cuda::device {

using bf16 = __nv_bfloat16;

__host__ __device__ inline float to_float(bf16 value) { return __bfloat162float(value); }
__host__ __device__ inline bf16 to_bf16(float value) { return __float2bfloat16_rn(value); }

// Bit casts.
__device__ inline float as_float(uint32_t word) { return __uint_as_float(word); }
__device__ inline uint32_t as_word(float value) { return __float_as_uint(value); }

// The same functions for both element types, for generic kernels.
__host__ __device__ inline float to_float(float value) { return value; }
template <class T> __host__ __device__ T from_float(float value) {
  if constexpr (sizeof(T) == sizeof(float))
    return value;
  else
    return to_bf16(value);
}

__device__ inline uint32_t pack_bf16(float first, float second) {
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
  return word;
}

__device__ inline pair unpack_bf16(uint32_t word) {
  return {__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)};
}

}  // namespace eva::cuda::device
