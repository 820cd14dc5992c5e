#pragma once

#include <array>

#include "op_test.h"

// Inputs of the contrastive loss: rows of unit length.
namespace eva::test {

/// Each row divided by its length, in double precision and rounded once.
inline buffer normalized(dtype type, const shape& dims, const buffer& values) {
  buffer rows(type, dims);
  for (int64_t first = 0; first < values.size(); first += dims[1]) {
    double square = 0;
    for (int64_t k = first; k < first + dims[1]; ++k) square += double(values[k]) * double(values[k]);
    for (int64_t k = first; k < first + dims[1]; ++k)
      rows.set(k, float(double(values[k]) / std::sqrt(square)));
  }
  return rows;
}

inline buffer unit_rows(dtype type, const shape& dims, std::mt19937& random) {
  return normalized(type, dims, buffer(dtype::f32, dims, random, 1));
}

/// How similar the features are.
enum class likeness {
  chance,     // no correlation: an untrained model
  partial,    // half of each pair, so that some matches are correct
  pairs,      // a pair is nearly the same vector, and nearly every match is certain
  collapsed,  // all are nearly the same vector: every match is a guess, and gradients are small differences
};

struct feature_pairs {
  buffer image, text;
};

inline feature_pairs make_pairs(dtype type, const shape& dims, likeness alike, unsigned seed) {
  std::mt19937 random(seed);
  // Weights of a vector shared by all features, of one shared by each pair, and of one per feature.
  constexpr std::array<std::array<float, 3>, 4> weights{
      {{0, 0, 1}, {0, 1, 1}, {0, 1, 0.1f}, {1, 0.1f, 0.1f}}};
  const auto& [all, pair, own] = weights[size_t(alike)];
  const buffer shared = unit_rows(dtype::f32, {1, dims[1]}, random),
               pairs = unit_rows(dtype::f32, dims, random);
  const auto mixed = [&] {
    buffer rows = unit_rows(dtype::f32, dims, random);
    for (int64_t i = 0; i < rows.size(); ++i)
      rows.set(i, all * shared[i % dims[1]] + pair * pairs[i] + own * rows[i]);
    return normalized(type, dims, rows);
  };
  buffer image = mixed();
  return {image, mixed()};
}

}  // namespace eva::test
