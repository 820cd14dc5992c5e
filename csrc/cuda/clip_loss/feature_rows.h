#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor.h"
#include "cuda/context.h"
#include "cuda/device/bf16.cuh"

namespace eva::cuda {

/// Columns that a step of a product takes.
inline constexpr int score_depth = 32;

/// Into how many bf16, from the largest on, features of a type are split.
inline int parts_of(dtype features) { return features == dtype::f32 ? 3 : 1; }

/// Rows of features as bf16 [batch, stride], zero behind their columns; of f32 that is the first part of
/// three.
struct feature_rows {
  device::bf16* parts;
  int64_t batch, stride;
  int64_t part_stride;  // from one part to the next

  __host__ __device__ device::bf16* part(int i) const { return parts + i * part_stride; }
};

/// Both sides of the loss: the features where they lie, or copies of those that are f32 or whose rows are not
/// aligned.
struct score_sides {
  feature_rows image, text;

  /// Of the memory that copies need.
  static int64_t bytes(const tensor& image);
  static score_sides of(const tensor& image, const tensor& text, std::byte* memory);
};

/// Makes the copies.
void copy_features(const tensor& image, const tensor& text, const score_sides& to, const context& c);

}  // namespace eva::cuda
