#pragma once

#include <cstdint>
#include <string>

namespace eva::cpu {

/// Weights are integers of 1 / 2^22, as in Pillow. Kernels read them as high · 2^12 + low, two 16-bit numbers
/// whose products are added in pairs; sums wrap around, so the split changes no bit of the result.
inline constexpr int weight_bits = 22;
inline constexpr int low_weight_bits = 12;
inline constexpr int filter_channels = 3;

/// Rows of filtered pixels have a stride of a multiple of this, and sums are padded to it: the widest vector.
inline constexpr int64_t filter_block = 64;
/// Taps of a column are padded to groups of this many.
inline constexpr int64_t taps_per_group = 4;
/// Bytes from a pixel on that filter_columns may read.
inline constexpr int64_t filter_reach = 16;

/// The filter of a range of output columns. Column i is the sum of `groups[i]` groups of taps from pixel
/// `first[i]` on; the weights of a group are the high and low parts of taps 0 and 1, then of taps 2 and 3:
/// {h0, h1, l0, l1, h2, h3, l2, l3}.
struct column_filter {
  int64_t columns;
  const int64_t* first;    // [columns]
  const int64_t* groups;   // [columns]
  const int16_t* weights;  // [columns, stride, 8]
  int64_t stride;          // in groups
};

/// Kernels of one instruction set. All give the same bytes.
struct pixel_filter {
  /// Filters RGB rows `stride` bytes apart to `out`, whose rows are `out_stride` bytes apart and at least one
  /// byte longer than their pixels.
  void (*columns)(const uint8_t* pixels, int64_t stride, int64_t rows, const column_filter&, uint8_t* out,
                  int64_t out_stride);
  /// Adds `taps` weighted rows of `bytes` bytes to sums, whose order is the kernel's. Weights are those of
  /// pairs of rows: {h0, h1, l0, l1}.
  void (*add_rows)(const uint8_t* rows, int64_t stride, int64_t taps, const int16_t* weights, int64_t bytes,
                   int32_t* sums);
  /// Rounds sums to bytes.
  void (*round)(const int32_t* sums, int64_t bytes, uint8_t* out);
};

/// The kernels for an instruction set, named as for open.
const pixel_filter& pixel_filter_of(const std::string& instruction_set = "");

}  // namespace eva::cpu
