#pragma once
// The tensor core through the sm_80 instructions: C[16, 8] += A[16, 16] B[16, 8], bf16 in, f32 out.
//
// With g = lane / 4, t = lane % 4, and a word holding two neighbours (low half first), lane holds
//   A  words 0…3: A[g, 2t…], A[g + 8, 2t…], A[g, 2t + 8…], A[g + 8, 2t + 8…]
//   B  words 0…1: B[2t…, g], B[2t + 8…, g]
//   C  floats 0…3: C[g, 2t], C[g, 2t + 1], C[g + 8, 2t], C[g + 8, 2t + 1]
// so the C of two neighbouring column tiles, packed, is the A of a following product.

#include <cstdint>

#include "cuda/device/bf16.cuh"
#include "cuda/device/shared.cuh"

namespace eva::cuda::device {

struct matrices {  // four 8 x 8 bf16 matrices spread over a warp
  uint32_t words[4];
};

// Lane l names the element where row l % 8 of matrix l / 8 starts (16-byte aligned).
// Word m of a lane is then matrix m at [g, 2t…]; transposed: matrix m at [2t…, g].
__device__ inline matrices load_matrices(shared_array<bf16> source, int element) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(source.data + element));
  matrices m;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m.words[0]), "=r"(m.words[1]), "=r"(m.words[2]), "=r"(m.words[3])
               : "r"(address)
               : "memory");
  return m;
}

__device__ inline matrices load_matrices_transposed(shared_array<bf16> source, int element) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(source.data + element));
  matrices m;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m.words[0]), "=r"(m.words[1]), "=r"(m.words[2]), "=r"(m.words[3])
               : "r"(address)
               : "memory");
  return m;
}

__device__ inline void multiply_add(float (&c)[4], const matrices& a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "r"(b0), "r"(b1));
}

}  // namespace eva::cuda::device
