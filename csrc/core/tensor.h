#pragma once

#include <vector>

#include "core/dtype.h"
#include "core/shape.h"

namespace eva {

/// A typed view of device memory, dense and row-major. Owns nothing: the memory plan or a parameter owns the
/// bytes. `data` is null for an unread output.
struct tensor {
  dtype type = dtype::none;
  shape dims;
  void* data = nullptr;

  bool present() const { return type != dtype::none; }
  int64_t size() const { return element_count(dims); }
  int64_t bytes() const { return size() * size_of(type); }
  /// Negative i counts from the end. Throws shape_error if there is no such dimension.
  int64_t dim(int i) const {
    const int rank = int(dims.size()), at = i < 0 ? rank + i : i;
    if (at < 0 || at >= rank) throw shape_error("a tensor " + to_string(dims) + " has too few dimensions");
    return dims[size_t(at)];
  }
  int64_t rank() const { return int64_t(dims.size()); }
  /// The size of the last dimension, and the number of such rows. A scalar is one row with one column.
  int64_t columns() const { return dims.empty() ? 1 : dims.back(); }
  int64_t rows() const { return columns() == 0 ? 0 : size() / columns(); }

  template <class T> T* as() const { return static_cast<T*>(data); }
};

using tensors = std::vector<tensor>;

}  // namespace eva
