#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace eva {

using shape = std::vector<int64_t>;

inline int64_t element_count(const shape& dims) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  return count;
}

inline std::string to_string(const shape& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

/// All but the last `count` dimensions.
inline shape leading(const shape& dims, size_t count = 1) {
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
