#pragma once

#include <algorithm>

#include "core/shape.h"

namespace eva {

/// Where elements lie in memory that holds padding behind each of their rows and behind the last row. They
/// are numbered row by row, without the padding, which belongs to the element before it.
class padded_layout {
 public:
  /// `rows` rows of `columns`, in memory for `size` elements whose rows begin `pitch` apart.
  padded_layout(int64_t rows, int64_t columns, int64_t pitch, int64_t size)
      : size_(rows * columns), stored_size_(size), columns_(columns), pitch_(pitch) {
    if (columns == pitch) columns_ = pitch_ = std::max<int64_t>(1, size_);  // rows without a gap are one row
  }

  /// Of a tensor in memory of a shape that has more in the first and in the last dimension, at most.
  padded_layout(const shape& dims, const shape& stored)
      : padded_layout(dims.size() < 2 ? 1 : element_count(leading(dims)), dims.empty() ? 1 : dims.back(),
                      stored.empty() ? 1 : stored.back(), element_count(stored)) {}

  int64_t size() const { return size_; }

  /// The place of element i. The place of size() is the end of the memory.
  int64_t place(int64_t i) const { return i == size_ ? stored_size_ : i / columns_ * pitch_ + i % columns_; }

  /// How many elements have a lower place.
  int64_t elements_before(int64_t place) const {
    return std::min(size_, place / pitch_ * columns_ + std::min(place % pitch_, columns_));
  }
  /// The first element of the row that has element i.
  int64_t row_begin(int64_t i) const { return i / columns_ * columns_; }

  /// Calls body(i, count, padding) for the elements from i on that lie side by side, which together are those
  /// from `begin` to `end`, and the number of padding elements behind them.
  template <class Body> void for_each_run(int64_t begin, int64_t end, const Body& body) const {
    for (int64_t i = begin; i < end;) {
      const int64_t next = std::min(end, (i / columns_ + 1) * columns_);
      body(i, next - i, place(next) - place(i) - (next - i));
      i = next;
    }
  }

 private:
  int64_t size_, stored_size_, columns_, pitch_;
};

}  // namespace eva
