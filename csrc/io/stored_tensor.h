#pragma once

#include <memory>

#include "core/float_format.h"
#include "core/shape.h"
#include "io/mapped_file.h"

namespace eva::io {

/// A strided view of floating-point elements in a mapped file, which it keeps open.
class stored_tensor {
 public:
  /// `offset` is the byte of element [0, …, 0]; strides are in elements. Throws argument_error when the view
  /// is not sound or leaves the file.
  stored_tensor(std::shared_ptr<const mapped_file> file, stored_dtype type, int64_t offset, shape dims,
                shape strides);

  int64_t size() const { return size_; }

  /// Throws ERR_EVACLIP_IO when the file has become too short for the view.
  void check_file() const { file_->check_size(end_); }

  /// Converts `count` elements from the `first` on, in row-major order. Safe on several threads at once.
  void copy(int64_t first, int64_t count, stored_dtype to_type, std::byte* to) const;

 private:
  struct byte_range {
    int64_t begin, end;
  };
  bool dense() const;
  int64_t extent(size_t dimension) const;
  byte_range range_of(int64_t first, int64_t count) const;
  void copy_dense(byte_range from, stored_dtype to_type, std::byte* to) const;

  std::shared_ptr<const mapped_file> file_;
  stored_dtype type_;
  int64_t offset_;
  int64_t size_;
  int64_t end_;  // the byte behind the last element
  // Without dimensions of one element, and with those merged that lie one after another.
  shape dims_;     // the last varies fastest
  shape strides_;  // in bytes
};

}  // namespace eva::io
