#pragma once
// Host implementation of csrc/cuda/device/mma.cuh, which documents the fragment layout.

#include "cuda/device/bf16.cuh"
#include "cuda/device/shared.cuh"

namespace eva::cuda::device {

struct fragment {
  uint32_t words[4];
};

namespace emulated {

struct matrix_load {
  size_t offset;  // of the row this lane addresses
  uint16_t row[8];
  fragment result;
};

// The eight rows of a matrix are read without conflicts if they are in different 16-byte columns of the 128
// bytes of banks.
inline void count_bank_conflicts(void* const lanes[]) {
  for (int matrix = 0; matrix < 4; ++matrix)
    for (int row = 0; row < 8; ++row)
      for (int other = 0; other < row; ++other) {
        const size_t a = static_cast<matrix_load*>(lanes[8 * matrix + row])->offset / 16;
        const size_t b = static_cast<matrix_load*>(lanes[8 * matrix + other])->offset / 16;
        if (a != b && a % 8 == b % 8) ++emulator::ldmatrix_bank_conflicts;
      }
}

template <bool Transposed>
fragment load(const char* name, shared_array<bf16> source, int element, location where) {
  matrix_load mine{source.offset(element), {}, {}};
  emulator::current().read(mine.offset, sizeof mine.row, mine.row, where);
  emulator::current().warp_collective(
      name, &mine,
      [](void* const lanes[]) {
        count_bank_conflicts(lanes);
        const auto at = [&](int matrix, int row, int column) -> uint32_t {
          return static_cast<matrix_load*>(lanes[8 * matrix + row])->row[column];
        };
        for (int lane = 0; lane < warp_size; ++lane)
          for (int m = 0; m < 4; ++m) {
            const int g = lane / 4, t = lane % 4;
            static_cast<matrix_load*>(lanes[lane])->result.words[m] =
                Transposed ? at(m, 2 * t, g) | at(m, 2 * t + 1, g) << 16
                           : at(m, g, 2 * t) | at(m, g, 2 * t + 1) << 16;
          }
      },
      where);
  return mine.result;
}

struct mma_operands {
  float* c;
  const uint32_t* a;
  uint32_t b[2];
};

inline void multiply(void* const lanes[]) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < warp_size; ++lane) {
    const auto& mine = *static_cast<const mma_operands*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int word = half; word < 4; word += 2) {
        const pair two = unpack_bf16(mine.a[word]);
        a[g + 8 * half][2 * t + 8 * (word / 2)] = two.first;
        a[g + 8 * half][2 * t + 8 * (word / 2) + 1] = two.second;
      }
      const pair two = unpack_bf16(mine.b[half]);
      b[2 * t + 8 * half][g] = two.first;
      b[2 * t + 8 * half + 1][g] = two.second;
    }
  }
  for (int lane = 0; lane < warp_size; ++lane)
    for (int i = 0; i < 4; ++i) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[lane / 4 + 8 * (i / 2)][k] * b[k][2 * (lane % 4) + i % 2];
      static_cast<const mma_operands*>(lanes[lane])->c[i] += sum;
    }
}

}  // namespace emulated

inline fragment ldmatrix_x4(shared_array<bf16> source, int element, location where = location::current()) {
  return emulated::load<false>("ldmatrix_x4", source, element, where);
}

inline fragment ldmatrix_x4_transposed(shared_array<bf16> source, int element,
                                       location where = location::current()) {
  return emulated::load<true>("ldmatrix_x4_transposed", source, element, where);
}

inline void mma_m16n8k16(float (&c)[4], const fragment& a, uint32_t b0, uint32_t b1,
                         location where = location::current()) {
  emulated::mma_operands mine{c, a.words, {b0, b1}};
  emulator::current().warp_collective("mma_m16n8k16", &mine, emulated::multiply, where);
}

}  // namespace eva::cuda::device
