#pragma once

#include <cstdint>

#include "cuda/clip_loss/feature_rows.h"
#include "cuda/context.h"
#include "ops/clip_loss.h"

namespace eva::cuda {

/// Into how many bf16 the weights of features of a type are split: two leave the gradient 2^-17 off.
inline int weight_parts_of(dtype features) { return features == dtype::f32 ? 2 : 1; }

/// Rows first_row … first_row + rows - 1 of s G = s (P + Q) dloss / (2 B), zero on the diagonal, as bf16.
struct score_weights {
  device::bf16* parts;  // [parts, most_rows, stride]; null where nobody reads the gradients
  int64_t stride;       // a multiple of 128
  int64_t part_stride;  // from one part to the next
  int64_t first_row, rows;

  __host__ __device__ device::bf16* part(int i) const { return parts + i * part_stride; }
};

/// Computes the weights, and sums of P log2 P + Q log2 Q, which may be null; returns how many sums there are,
/// one a block: a multiprocessor has at most one.
int weigh_scores(const ops::clip_loss_backward::args& a, const score_sides& sides, const score_weights& to,
                 float* entropy_sums, const context& c);

}  // namespace eva::cuda
