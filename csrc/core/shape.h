#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace eva {

using shape = std::vector<int64_t>;

/// More than fits into any machine, yet small enough that int64 can hold the total bytes of a program's
/// tensors.
inline constexpr int64_t max_elements = int64_t(1) << 44;

inline std::string to_string(const shape& dims) {
  constexpr size_t max_shown = 16;
  std::string text = "[";
  for (size_t i = 0; i < std::min(dims.size(), max_shown); ++i)
    text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + (dims.size() > max_shown ? ", …]" : "]");
}

/// Throws shape_error for a negative dimension, or if the product of the nonzero dimensions exceeds
/// max_elements.
inline int64_t element_count(const shape& dims) {
  int64_t count = 1;
  bool empty = false;
  for (const int64_t dim : dims) {
    empty = empty || dim == 0;
    if (dim < 0) throw shape_error("a dimension must be at least 0, found " + to_string(dims));
    if (__builtin_mul_overflow(count, std::max<int64_t>(dim, 1), &count) || count > max_elements)
      throw shape_error("a tensor must have at most 2^44 elements, found " + to_string(dims),
                        {{"expected", "at most 2^44 elements"}, {"actual", to_string(dims)}});
  }
  return empty ? 0 : count;
}

/// All but the last `count` dimensions.
inline shape leading(const shape& dims, size_t count = 1) {
  if (count > dims.size()) throw shape_error("a tensor " + to_string(dims) + " has too few dimensions");
  return {dims.begin(), dims.end() - std::ptrdiff_t(count)};
}

/// `dims` followed by `last`.
inline shape append(shape dims, int64_t last) {
  dims.push_back(last);
  return dims;
}

inline bool is_suffix(const shape& tail, const shape& whole) {
  return tail.size() <= whole.size() && std::equal(tail.rbegin(), tail.rend(), whole.rbegin());
}

}  // namespace eva
