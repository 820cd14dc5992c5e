#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "cpu/gemm/gemm.h"
#include "ops/clip_loss.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Rows [begin, begin + rows) of image textᵀ, not yet scaled.
struct logits_tile {
  float* data;  // [rows, batch]
  int64_t begin, rows, batch;
  float scale;

  float* row(int64_t i) const { return data + i * batch; }
  /// The entry of row i's positive pair.
  float& positive(int64_t i) const { return row(i)[begin + i]; }
};

inline float scale_of(const tensor& logit_scale) { return std::exp(*logit_scale.as<float>()); }

/// Heights of the full tiles and, if it is shorter, of the last one.
inline std::vector<int64_t> tile_heights(int64_t batch) {
  constexpr int64_t max_rows = ops::clip_loss_tile_rows;
  std::vector<int64_t> heights = {std::min(batch, max_rows)};
  if (batch > max_rows && batch % max_rows != 0) heights.push_back(batch % max_rows);
  return heights;
}

/// image[rows] textᵀ
inline gemm_spec logits_gemm(int64_t rows, const tensor& text) {
  const int64_t batch = text.dim(0), embedding = text.dim(1);
  return {.a = dense(text.type, rows, embedding),
          .b = transposed(dense(text.type, batch, embedding)),
          .c = dense(dtype::f32, rows, batch)};
}

/// Calls body(begin, rows, GEMMs for that height) for each tile of the batch.
template <class Gemms, class Body>
void for_each_tile(int64_t batch, std::vector<Gemms>& gemms, const Body& body) {
  constexpr int64_t max_rows = ops::clip_loss_tile_rows;
  for (int64_t begin = 0; begin < batch; begin += max_rows) {
    const int64_t rows = std::min(max_rows, batch - begin);
    body(begin, rows, rows == max_rows ? gemms.front() : gemms.back());
  }
}

/// log(1 + e^x): the cross-entropy, for the log odds x of a wrong match.
inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// 1 / (1 + e^-x): the probability of a wrong match, for its log odds x.
inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace eva::cpu::EVA_CLIP_ISA
