#pragma once

#include <algorithm>
#include <array>

#include "cpu/attention/small_gemm.h"
#include "cpu/simd.h"
#include "ops/attention.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// The rows of one head of one sequence in a tensor: q, k, v, out or a gradient of these.
template <class T> class head_rows {
 public:
  /// Columns [column, column + head_dim) of `t`, from row `first` on.
  head_rows(const tensor& t, int64_t first, int64_t column, int64_t head_dim)
      : data_(t.as<T>() + first * t.columns() + column), stride_(t.columns()), head_dim_(head_dim) {}

  /// Row i. Prefetches row i of the next head, which follows it in memory, because the rows of a head are too
  /// far apart for the hardware prefetcher.
  T* row(int64_t i) const {
    T* const begin = data_ + i * stride_;
    constexpr int64_t line = 64 / sizeof(T);
    constexpr int for_reading = 0, into_l2 = 2;
    for (int64_t j = head_dim_; j < 2 * head_dim_; j += line)
      __builtin_prefetch(begin + j, for_reading, into_l2);
    return begin;
  }

 private:
  T* data_;
  int64_t stride_, head_dim_;
};

/// The rows of q, k and v in qkv or in its gradient, [rows, 3 H D].
template <class T> struct qkv_rows {
  head_rows<T> q, k, v;

  qkv_rows(const tensor& qkv, int64_t first, int64_t head, int64_t heads, int64_t head_dim)
      : q(qkv, first, head * head_dim, head_dim),
        k(qkv, first, (heads + head) * head_dim, head_dim),
        v(qkv, first, (2 * heads + head) * head_dim, head_dim) {}
};

/// The RoPE angles of each token of a sequence (Su et al. 2021, RoFormer).
class rope_angles {
 public:
  rope_angles() = default;
  template <class Args> rope_angles(const Args& a, int64_t sequence) {
    if (!a.rope.present()) return;
    table_ = a.rope.template as<const float>();
    grid_ = a.rope.dim(0);
    half_ = a.rope.dim(1) * 2;
    if (a.positions.present())
      patches_ = a.positions.template as<const int32_t>() + sequence * a.positions.dim(1);
  }
  /// Token 0, the class token, is not rotated.
  bool rotates(int64_t token) const { return table_ && token > 0; }
  /// D / 2 numbers each, interleaved cosines and sines, for the first half (by row) and the second half (by
  /// column) of a head.
  std::array<const float*, 2> of(int64_t token) const {
    const int64_t patch = patches_ ? patches_[token - 1] : token - 1;
    return {table_ + patch / grid_ * half_, table_ + patch % grid_ * half_};
  }

 private:
  const float* table_ = nullptr;
  const int32_t* patches_ = nullptr;
  int64_t grid_ = 0, half_ = 0;
};

/// to = factor · from
template <class To, class From> void scale_row(To* to, const From* from, int64_t count, float factor) {
  sweep(count, [&](int64_t i, auto width) { store(to + i, factor * load(from + i, width), width); });
}

namespace lane_pairs {
template <int Even, int Odd> vec shuffle(vec x) {
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(x, x, (I - I % 2 + (I % 2 ? Odd : Even))...);
  }
  (std::make_integer_sequence<int, lanes>());
}
inline vec evens(vec x) { return shuffle<0, 0>(x); }
inline vec odds(vec x) { return shuffle<1, 1>(x); }
inline vec swapped(vec x) { return shuffle<1, 0>(x); }
/// Interleaves a and b, each from lane First on.
template <int First> vec interleave(vec a, vec b) {
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (First + I / 2 + I % 2 * lanes)...);
  }
  (std::make_integer_sequence<int, lanes>());
}
/// -x, x, -x, x, …
inline vec alternating(float x) {
  return [&]<int... I>(std::integer_sequence<int, I...>) { return vec{(I % 2 ? x : -x)...}; }
  (std::make_integer_sequence<int, lanes>());
}
}  // namespace lane_pairs

/// to = factor · from with each pair (x, y) rotated by its angle: (x cos - y sin, y cos + x sin). Direction
/// -1 rotates back.
template <class To, class From>
void rotate_row(To* to, const From* from, const float* cos_sin, int64_t count, float factor,
                float direction) {
  const vec sign = lane_pairs::alternating(direction);
  sweep(count, [&](int64_t i, auto width) {
    const vec x = factor * load(from + i, width), angle = load(cos_sin + i, width);
    const vec rotated =
        x * lane_pairs::evens(angle) + lane_pairs::swapped(x) * (sign * lane_pairs::odds(angle));
    store(to + i, rotated, width);
  });
}

/// to = factor · from for one head of a token, with RoPE applied (direction 1) or undone (-1).
template <class To, class From>
void copy_token(To* to, const From* from, int64_t head_dim, float factor, const rope_angles& angles,
                int64_t token, float direction) {
  if (!angles.rotates(token)) return scale_row(to, from, head_dim, factor);
  const int64_t half = head_dim / 2;
  const auto [by_row, by_column] = angles.of(token);
  rotate_row(to, from, by_row, half, factor, direction);
  rotate_row(to + half, from + half, by_column, half, factor, direction);
}

/// to [columns, rows] = fromᵀ [rows, columns]. Both are padded to whole blocks of lanes × lanes.
inline void transpose(matrix to, matrix from, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row += lanes)
    for (int64_t column = 0; column < columns; column += lanes) {
      std::array<vec, lanes> block, next;
      for (int i = 0; i < lanes; ++i) block[size_t(i)] = load(from.row(row + i) + column);
      // Each round is a perfect shuffle of the block; log2(lanes) rounds transpose it.
      for (int round = 1; round < lanes; round *= 2) {
        for (size_t i = 0; i < lanes / 2; ++i) {
          next[2 * i] = lane_pairs::interleave<0>(block[i], block[i + lanes / 2]);
          next[2 * i + 1] = lane_pairs::interleave<lanes / 2>(block[i], block[i + lanes / 2]);
        }
        block = next;
      }
      for (int i = 0; i < lanes; ++i) store(to.row(column + i) + row, block[size_t(i)]);
    }
}

/// to [D, length] = the rows of a sequence with RoPE applied, transposed through a staging buffer [lanes, D].
template <class T>
void pack_transposed(matrix to, matrix staging, head_rows<const T> from, int64_t length, int64_t head_dim,
                     const rope_angles& angles) {
  for (int64_t begin = 0; begin < length; begin += lanes) {
    const int64_t rows = std::min<int64_t>(lanes, length - begin);
    for (int64_t i = 0; i < rows; ++i)
      copy_token(staging.row(i), from.row(begin + i), head_dim, 1.0f, angles, begin + i, 1.0f);
    transpose(to.from_column(begin), staging, rows, head_dim);
  }
}

}  // namespace eva::cpu::EVA_CLIP_ISA
