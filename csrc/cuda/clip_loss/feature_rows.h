#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor.h"
#include "cuda/context.h"
#include "cuda/device/bf16.cuh"

namespace eva::cuda {

/// BLOCK_K: the columns of the features per step of the main loop.
inline constexpr int score_block_k = 32;

/// The number of bf16 parts into which features of a type are split, the largest part first.
inline int parts_of(dtype features) { return features == dtype::f32 ? 3 : 1; }

/// Features as bf16 [batch, stride], zero after their last column. f32 features have three such parts, whose
/// sum they are.
struct feature_rows {
  device::bf16* parts;
  int64_t batch, stride;
  int64_t part_stride;  // from one part to the next

  __host__ __device__ device::bf16* part(int i) const { return parts + i * part_stride; }
};

/// Both operands of the scores: the features in place, or copies if they are f32 or their rows are not
/// aligned.
struct score_sides {
  feature_rows image, text;

  /// The size of the memory for the copies.
  static int64_t bytes(const tensor& image);
  static score_sides of(const tensor& image, const tensor& text, std::byte* memory);
};

/// Writes the copies, if any.
void copy_features(const tensor& image, const tensor& text, const score_sides& to, const context& c);

}  // namespace eva::cuda
