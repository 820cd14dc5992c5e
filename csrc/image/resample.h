#pragma once

#include <deque>
#include <span>
#include <vector>

#include "cpu/dispatch/filter_pixels.h"
#include "image/resample_axis.h"

namespace eva::image {

/// Resizes an RGB image of 8 bits to the bytes of Pillow's resampling: columns, rounded to bytes, then rows,
/// in fixed point. The image may come in parts, so that memory for a part and for the sums of unfinished rows
/// suffices. Not thread-safe.
class resampler {
 public:
  /// `out` is [y.count, x.count, 3], and must outlive this object.
  resampler(const resample_axis& x, const resample_axis& y, const resampling_filter& filter, uint8_t* out,
            const cpu::pixel_filter& kernels = cpu::pixel_filter_of());

  /// The columns and rows of the image that are read; parts consist of these.
  pixel_range columns() const { return x_.inputs(); }
  pixel_range rows() const { return y_.inputs(); }

  /// The next rows of `columns()`, from the first of `rows()` on. Throws argument_error for a part that does
  /// not consist of rows, or exceeds them.
  void add(std::span<const uint8_t> part);
  bool is_complete() const { return next_row_ == rows().end; }

 private:
  /// The filter of output columns `begin` to `begin` + `count`, [count, stride, 8].
  struct column_table {
    int64_t begin = -1, count = 0, stride = 0;
    std::vector<int64_t> first, groups;
    std::vector<int16_t> weights;
  };
  /// The sums of an output row.
  struct row_sums {
    std::vector<int32_t> weights;
    std::vector<int32_t> sums;
  };

  void make_column_table(int64_t begin, int64_t count);
  void filter_columns(const uint8_t* rows, int64_t count);
  void add_rows(const uint8_t* rows, int64_t count);
  void add_to_output(int64_t output, row_sums& to, int64_t block_end);

  const cpu::pixel_filter& kernels_;
  const axis_weights x_, y_;
  uint8_t* const out_;
  const int64_t part_stride_, row_bytes_, block_stride_;
  int64_t next_row_;     // of the image
  int64_t next_output_;  // of the target, the first that is not complete
  column_table table_;
  std::vector<uint8_t> block_;   // [block_rows, block_stride_], columns filtered
  std::vector<uint8_t> tail_;    // the last rows of a part, with room to read beyond
  std::deque<row_sums> active_;  // of the outputs from next_output_ on that have inputs
  // Reused.
  std::vector<row_sums> spare_;
  std::vector<int16_t> pair_weights_;
  std::vector<int32_t> column_weights_;
};

}  // namespace eva::image
