#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "cpu/dispatch/matrix_product.h"
#include "ops/clip_loss.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Rows begin … begin + rows - 1 of the products of images and texts, not yet scaled.
struct logits_tile {
  float* data;  // [rows, batch]
  int64_t begin, rows, batch;
  float scale;

  float* row(int64_t i) const { return data + i * batch; }
  /// The product of row i's own pair.
  float& own(int64_t i) const { return row(i)[begin + i]; }
};

inline float scale_of(const tensor& logit_scale) { return std::exp(*logit_scale.as<float>()); }

/// Rows of the whole tiles and, where the batch does not divide, of the last one.
inline std::vector<int64_t> tile_heights(int64_t batch) {
  constexpr int64_t most = ops::clip_loss_tile_rows;
  std::vector<int64_t> heights = {std::min(batch, most)};
  if (batch > most && batch % most != 0) heights.push_back(batch % most);
  return heights;
}

/// image[rows] textᵀ
inline product_form logits_form(int64_t rows, const tensor& text) {
  const int64_t batch = text.dim(0), embedding = text.dim(1);
  return {.a = dense(text.type, rows, embedding),
          .b = transposed(dense(text.type, batch, embedding)),
          .c = dense(dtype::f32, rows, batch)};
}

/// Calls body(begin, rows, products of a tile of that height) for each tile of the batch.
template <class Products, class Body>
void for_each_tile(int64_t batch, std::vector<Products>& products, const Body& body) {
  constexpr int64_t most = ops::clip_loss_tile_rows;
  for (int64_t begin = 0; begin < batch; begin += most) {
    const int64_t rows = std::min(most, batch - begin);
    body(begin, rows, rows == most ? products.front() : products.back());
  }
}

/// log (1 + e^x): the cross-entropy of an answer whose log odds of being wrong are x.
inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// 1 / (1 + e^-x): the probability that it is wrong.
inline double wrong_probability(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace eva::cpu::EVA_CLIP_ISA
