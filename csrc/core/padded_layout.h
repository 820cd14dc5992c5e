#pragma once

#include <algorithm>

#include "core/shape.h"

namespace eva {

/// Maps elements to memory that has padding after each row and after the last row. Elements are numbered row
/// by row without the padding; padding belongs to the element before it.
class padded_layout {
 public:
  /// `rows` rows of `columns` elements, in memory of `size` elements with a row pitch of `pitch`.
  padded_layout(int64_t rows, int64_t columns, int64_t pitch, int64_t size)
      : size_(rows * columns), stored_size_(size), columns_(columns), pitch_(pitch) {
    if (columns == pitch) columns_ = pitch_ = std::max<int64_t>(1, size_);  // no padding between: one row
  }

  /// A tensor `dims` in memory of shape `stored`, which may be larger in the first and the last dimension
  /// only.
  padded_layout(const shape& dims, const shape& stored)
      : padded_layout(dims.size() < 2 ? 1 : element_count(leading(dims)), dims.empty() ? 1 : dims.back(),
                      stored.empty() ? 1 : stored.back(), element_count(stored)) {}

  int64_t size() const { return size_; }

  /// The memory offset of element i, in elements. That of size() is the end of the memory.
  int64_t offset_of(int64_t i) const {
    return i == size_ ? stored_size_ : i / columns_ * pitch_ + i % columns_;
  }

  /// The number of elements before this offset.
  int64_t elements_before(int64_t offset) const {
    return std::min(size_, offset / pitch_ * columns_ + std::min(offset % pitch_, columns_));
  }
  /// The first element of element i's row.
  int64_t row_begin(int64_t i) const { return i / columns_ * columns_; }

  /// Splits elements [begin, end) into contiguous runs and calls body(i, count, padding) for each: `count`
  /// elements from i on, followed by `padding` elements of padding.
  template <class Body> void for_each_run(int64_t begin, int64_t end, const Body& body) const {
    for (int64_t i = begin; i < end;) {
      const int64_t next = std::min(end, (i / columns_ + 1) * columns_);
      body(i, next - i, offset_of(next) - offset_of(i) - (next - i));
      i = next;
    }
  }

 private:
  int64_t size_, stored_size_, columns_, pitch_;
};

}  // namespace eva
