#pragma once

#include <algorithm>

#include "cpu/attention/pair_gemm.h"
#include "cpu/attention/rows.h"
#include "cpu/attention/softmax.h"

// Operands of pair_gemm. Buffers are reused for other shapes, so their padding is cleared each time.
namespace eva::cpu::EVA_CLIP_ISA {

/// Queries processed together: two tiles of rows, and one unit of depth where their number is the depth.
inline constexpr int64_t pair_block = 2 * row_unit;
static_assert(pair_block == 2 * depth_unit);

/// Calls body(begin, end) for blocks of 0 … length-1 of pair_block queries; only the last is shorter, because
/// rows of tiles are computed 16 at a time.
template <class Body> void for_each_pair_block(int64_t length, const Body& body) {
  for (int64_t begin = 0; begin < length; begin += pair_block)
    body(begin, std::min(begin + pair_block, length));
}

/// Memory of `m`'s row i as bf16.
inline bf16* half_row(matrix m, int64_t i) { return reinterpret_cast<bf16*>(m.row(i)); }

/// Words that hold `elements` of a row, in whole units of depth.
constexpr int64_t words_of(int64_t elements) { return whole_units((elements + 1) / 2, depth_unit); }

/// Zeroes elements [from, …) of a bf16 row of `words` words.
inline void clear_half_row(bf16* row, int64_t from, int64_t words) {
  std::memset(static_cast<void*>(row + from), 0, size_t(2 * words - from) * sizeof(bf16));
}

/// Words of the elements of two rows: `low` first in memory.
inline vec pair_words(vec low, vec high) {
  return std::bit_cast<vec>(zero_extend(narrow(low)) | zero_extend(narrow(high)) << 16);
}

/// to [words, rows] = bf16 rows of `words` words, transposed: b from rows of bᵀ. `write_row(i, row)` writes a
/// row's elements; the rest is zero, and so are rows from `rows` on, to a whole unit of columns.
template <class WriteRow>
void pack_transposed_pairs(matrix to, matrix staging, int64_t rows, int64_t words,
                           const WriteRow& write_row) {
  for (int64_t begin = 0; begin < whole_units(rows, column_unit); begin += lanes) {
    for (int64_t i = 0; i < lanes; ++i) {
      std::fill_n(staging.row(i), words, 0.0f);
      if (begin + i < rows) write_row(begin + i, half_row(staging, i));
    }
    transpose(to.from_column(begin), staging, lanes, words);
  }
}

/// to [rows / 2, columns] = the words of pairs of rows: b from its rows. `row(i)` is a row of floats or bf16;
/// rows from `rows` on, to a whole unit of depth, become zero, and so do columns up to a whole unit.
template <class Row> void pack_pairs(matrix to, int64_t rows, int64_t columns, const Row& row) {
  const int64_t stored = whole_units(columns, column_unit);
  for (int64_t pair = 0; pair < words_of(rows); ++pair) {
    float* const words = to.row(pair);
    if (2 * pair >= rows) {
      std::fill_n(words, stored, 0.0f);
      continue;
    }
    const auto *low = row(2 * pair), *high = 2 * pair + 1 < rows ? row(2 * pair + 1) : nullptr;
    sweep(columns, [&](int64_t i, auto width) {
      store(words + i, pair_words(load(low + i, width), high ? load(high + i, width) : vec{}), width);
    });
    std::fill(words + columns, words + stored, 0.0f);
  }
}

/// Queries and keys as operands of pair_gemm. Rotated ones are sums of two bf16, so that scores are as
/// accurate as products of f32: (q + q') (k + k') without q' k'.
class score_operands {
 public:
  template <class Args>
  score_operands(const Args& a, int64_t sequence, int64_t head_dim, matrix exact)
      : angles_(a, sequence), rotates_(a.rope.present()), head_dim_(head_dim), exact_(exact) {}

  /// Words of a row of queries, q q' q, and of keys, k k'.
  static int64_t query_words(int64_t head_dim) { return 3 * words_of(head_dim); }
  static int64_t key_words(int64_t head_dim) { return 2 * words_of(head_dim); }

  const rope_angles& angles() const { return angles_; }

  void write_query(const bf16* from, int64_t token, bf16* row) const {
    const int64_t words = rotates_ ? query_words(head_dim_) : words_of(head_dim_);
    std::memset(static_cast<void*>(row), 0, size_t(2 * words) * sizeof(bf16));
    write(from, token, row);
    const int64_t part = 2 * words_of(head_dim_);
    if (rotates_) std::memcpy(static_cast<void*>(row + 2 * part), row, size_t(head_dim_) * sizeof(bf16));
  }
  void write_keys(matrix to, matrix staging, const head_rows<const bf16>& k, int64_t length) const {
    pack_transposed_pairs(to, staging, length, rotates_ ? key_words(head_dim_) : words_of(head_dim_),
                          [&](int64_t i, bf16* row) { write(k.row(i), i, row); });
  }
  /// scores [rows, keys] = q kᵀ
  void multiply(matrix scores, matrix queries, matrix keys_transposed, int64_t rows, int64_t keys) const {
    const int64_t words = words_of(head_dim_);
    pair_gemm(scores, queries, keys_transposed, rows, words, keys);
    if (rotates_) pair_gemm(scores, queries.from_column(words), keys_transposed, rows, 2 * words, keys, true);
  }

 private:
  void write(const bf16* from, int64_t token, bf16* row) const {
    if (!angles_.rotates(token)) {
      std::memcpy(static_cast<void*>(row), from, size_t(head_dim_) * sizeof(bf16));
      return;
    }
    float* const x = exact_.data;
    copy_token(x, from, head_dim_, 1.0f, angles_, token, 1.0f);
    bf16* const rest = row + 2 * words_of(head_dim_);
    sweep(head_dim_, [&](int64_t i, auto width) {
      const vec value = load(x + i, width);
      store(row + i, value, width);
      store(rest + i, value - widen(narrow(value)), width);
    });
  }

  rope_angles angles_;
  bool rotates_;
  int64_t head_dim_;
  matrix exact_;  // [1, D]
};

}  // namespace eva::cpu::EVA_CLIP_ISA
