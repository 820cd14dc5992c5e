#pragma once
// Vectors of values, shared by device code and emulator.

#include <cstdint>

namespace eva::cuda::device {

struct alignas(8) pair {
  float first, second;
};

struct alignas(16) vector16 {  // 16 bytes, the widest load: 8 bf16 or 4 float
  uint32_t words[4];
};

}  // namespace eva::cuda::device
