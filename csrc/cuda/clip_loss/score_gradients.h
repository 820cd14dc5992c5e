#pragma once

#include <cstdint>

#include "cuda/clip_loss/feature_rows.h"
#include "cuda/context.h"
#include "ops/clip_loss.h"

namespace eva::cuda {

/// The number of bf16 parts into which the gradients are split for features of a type; with two, the relative
/// error of dimage and dtext is 2^-17.
inline int gradient_parts_of(dtype features) { return features == dtype::f32 ? 2 : 1; }

/// The gradients of some scores, as bf16: rows first_row … first_row + rows - 1 of s G = s (P + Q) dloss / (2
/// B), with zeros on the diagonal.
struct score_gradients {
  device::bf16* parts;  // [parts, max_rows, stride]; null if neither dimage nor dtext is read
  int64_t stride;       // a multiple of 128
  int64_t part_stride;  // from one part to the next
  int64_t first_row, rows;

  __host__ __device__ device::bf16* part(int i) const { return parts + i * part_stride; }
};

/// Computes the gradients and one sum of P log2 P + Q log2 Q per block, at most one block per SM; returns the
/// number of sums. entropy_sums may be null.
int compute_score_gradients(const ops::clip_loss_backward::args& a, const score_sides& sides,
                            const score_gradients& to, float* entropy_sums, const context& c);

}  // namespace eva::cuda
