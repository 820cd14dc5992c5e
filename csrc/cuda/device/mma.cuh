#pragma once
// Tensor core instructions of sm_80: C[16, 8] += A[16, 16] B[16, 8], bf16 inputs, f32 accumulators.
//
// Fragment layout (PTX ISA, mma.m16n8k16). With g = lane / 4, t = lane % 4, and two adjacent elements per
// word (low half first), a lane holds
//   A  words 0…3: A[g, 2t…], A[g + 8, 2t…], A[g, 2t + 8…], A[g + 8, 2t + 8…]
//   B  words 0…1: B[2t…, g], B[2t + 8…, g]
//   C  floats 0…3: C[g, 2t], C[g, 2t + 1], C[g + 8, 2t], C[g + 8, 2t + 1]
// so the C of two adjacent column tiles, packed, is the A of another MMA.

#include <cstdint>

#include "cuda/device/bf16.cuh"
#include "cuda/device/shared.cuh"

namespace eva::cuda::device {

struct fragment {  // of four 8 x 8 bf16 matrices, distributed over a warp
  uint32_t words[4];
};

// Lane l passes the element at which row l % 8 of matrix l / 8 starts (16-byte aligned). Word m of a lane is
// then matrix m at [g, 2t…]; transposed, at [2t…, g].
__device__ inline fragment ldmatrix_x4(shared_array<bf16> source, int element) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(source.data + element));
  fragment m;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m.words[0]), "=r"(m.words[1]), "=r"(m.words[2]), "=r"(m.words[3])
               : "r"(address)
               : "memory");
  return m;
}

__device__ inline fragment ldmatrix_x4_transposed(shared_array<bf16> source, int element) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(source.data + element));
  fragment m;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m.words[0]), "=r"(m.words[1]), "=r"(m.words[2]), "=r"(m.words[3])
               : "r"(address)
               : "memory");
  return m;
}

__device__ inline void mma_m16n8k16(float (&c)[4], const fragment& a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "r"(b0), "r"(b1));
}

}  // namespace eva::cuda::device
