#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/error.h"
#include "cpu/parallel.h"
#include "ops/attention.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// The sequences of a dense or packed batch. Checks cu_seqlens and positions, whose values are known only at
/// run time.
class sequences {
 public:
  struct span {
    int64_t index, begin, length;
  };

  template <class Args> sequences(const char* op, const Args& a) {
    if (a.cu_seqlens.present()) {
      starts_ = a.cu_seqlens.template as<const int32_t>();
      count_ = a.cu_seqlens.size() - 1;
      check_starts(op, a.qkv.rows());
    } else {
      count_ = a.qkv.dim(0);
      longest_ = a.qkv.dim(1);
    }
    if (a.rope.present() && a.positions.present())
      check_positions(op, a.positions, a.rope.dim(0) * a.rope.dim(0));
  }

  int64_t count() const { return count_; }
  int64_t longest() const { return longest_; }
  /// Rows that belong to a sequence; those after them are padding.
  int64_t rows() const { return starts_ ? starts_[count_] : count_ * longest_; }
  span operator[](int64_t i) const {
    if (!starts_) return {i, i * longest_, longest_};
    return {i, starts_[i], starts_[i + 1] - starts_[i]};
  }

 private:
  void check_starts(const char* op, int64_t rows) {
    for (int64_t i = 0; i <= count_; ++i) {
      const int64_t start = starts_[i], previous = i ? starts_[i - 1] : 0;
      if (start < previous || start > rows || (i == 0 && start != 0)) {
        const std::string expected = i ? std::to_string(previous) + " … " + std::to_string(rows) : "0";
        throw data_error(
            std::string(op) + ": cu_seqlens[" + std::to_string(i) + "] must be " + expected + ", got " +
                std::to_string(start),
            {{"op", op}, {"field", "cu_seqlens"}, {"expected", expected}, {"actual", std::to_string(start)}});
      }
      longest_ = std::max(longest_, start - previous);
    }
  }
  static void check_positions(const char* op, const tensor& positions, int64_t patches) {
    const auto* p = positions.as<const int32_t>();
    const auto* wrong =
        std::find_if(p, p + positions.size(), [&](int32_t i) { return i < 0 || i >= patches; });
    if (wrong == p + positions.size()) return;
    const std::string expected = "0 … " + std::to_string(patches - 1), actual = std::to_string(*wrong);
    throw data_error(std::string(op) + ": positions must be " + expected + ", got " + actual,
                     {{"op", op}, {"field", "positions"}, {"expected", expected}, {"actual", actual}});
  }

  const int32_t* starts_ = nullptr;
  int64_t count_ = 0, longest_ = 0;
};

/// Calls body(sequence, head, thread) for every head of every non-empty sequence. Heads are scheduled in
/// groups: small enough to balance the threads, large enough to amortize the scheduling of short sequences.
template <class Body>
void for_each_head(const context& c, const sequences& batch, int64_t heads, const Body& body) {
  constexpr int64_t groups_per_thread = 32;
  const int64_t group =
      std::clamp<int64_t>(batch.count() * heads / (c.threads * groups_per_thread), 1, heads);
  const int64_t groups = (heads + group - 1) / group;
  // Waking the threads takes longer than the heads of a caption of twenty tokens; packing a token costs about
  // as much as its products with 64 others.
  constexpr int64_t least_work = 16384;
  const bool small = batch.rows() * heads * (batch.longest() + 64) < least_work;
  parallel_items(c, small, batch.count() * groups, [&](int64_t item, int thread) {
    const auto sequence = batch[item / groups];
    if (sequence.length == 0) return;
    const int64_t first = item % groups * group;
    for (int64_t head = first; head < std::min(first + group, heads); ++head) body(sequence, head, thread);
  });
}

/// BLOCK_M, the queries processed together: their scores stay in the L1 cache, and they are two register
/// tiles high on AVX-512.
inline constexpr int64_t query_block = 28;

/// Calls body(begin, end) for blocks of 0 … length-1 of nearly equal size, at most query_block.
template <class Body> void for_each_query_block(int64_t length, const Body& body) {
  const int64_t blocks = (length + query_block - 1) / query_block;
  for (int64_t i = 0; i < blocks; ++i) body(length * i / blocks, length * (i + 1) / blocks);
}

/// Zeroes the rows of `t` from `row` on, unless `t` is unread.
inline void clear_rows_from(const tensor& t, int64_t row) {
  if (t.data == nullptr) return;
  const int64_t row_bytes = t.columns() * size_of(t.type);
  std::memset(t.as<char>() + row * row_bytes, 0, size_t((t.rows() - row) * row_bytes));
}

}  // namespace eva::cpu::EVA_CLIP_ISA
