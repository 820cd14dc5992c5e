#pragma once

#include <memory>

#include "core/float_format.h"
#include "core/shape.h"
#include "io/mapped_file.h"

namespace eva::io {

/// A strided view of floating-point elements in a mapped file. Keeps the file open.
class stored_tensor {
 public:
  /// `offset` is the byte of element [0, …, 0]; strides are in elements. Throws argument_error if the view is
  /// invalid or exceeds the file.
  stored_tensor(std::shared_ptr<const mapped_file> file, stored_dtype type, int64_t offset, shape dims,
                shape strides);

  int64_t size() const { return size_; }

  /// Throws ERR_EVACLIP_IO if the file has been truncated to less than the view.
  void check_file() const { file_->check_size(end_); }

  /// Converts elements [first, first + count) in row-major order. Thread-safe.
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
  int64_t end_;  // one past the last byte
  // Without dimensions of size 1, and with contiguous dimensions merged.
  shape dims_;     // row-major
  shape strides_;  // in bytes
};

}  // namespace eva::io
