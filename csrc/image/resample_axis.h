#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace eva::image {

/// A resampling filter of Pillow.
struct resampling_filter {
  double (*weight)(double distance);
  double support;  // in pixels, where the image is not reduced
};

/// By name: box, bilinear, hamming, bicubic or lanczos. Throws argument_error for any other.
const resampling_filter& filter_named(const std::string& name);

struct pixel_range {
  int64_t begin, end;
};

/// One axis of a resize: the pixels from `begin` to `end` of `length` become `target`, of which `count` from
/// `offset` on are computed.
struct resample_axis {
  int64_t length;
  float begin, end;  // single precision, as in Pillow, whose bytes depend on it
  int64_t target;
  int64_t offset, count;
};

/// The weights of the outputs of an axis (Pillow's precompute_coeffs and normalize_coeffs_8bpc).
class axis_weights {
 public:
  /// Throws argument_error for an impossible axis.
  axis_weights(const resample_axis& axis, const resampling_filter& filter);

  const resample_axis& axis() const { return axis_; }
  /// The inputs of output `index` of the target.
  pixel_range inputs_of(int64_t index) const;
  /// The inputs of all computed outputs.
  pixel_range inputs() const;
  /// The most inputs of an output.
  int64_t most_inputs() const;
  /// Its weight of each of inputs_of(index), in 1 / 2^22.
  void weigh(int64_t index, std::vector<int32_t>& weights) const;

 private:
  double center_of(int64_t index) const { return axis_.begin + (double(index) + 0.5) * scale_; }

  resample_axis axis_;
  resampling_filter filter_;
  double scale_, stretch_, support_;
  bool is_copy_;                       // Pillow skips such an axis
  mutable std::vector<double> exact_;  // reused by weigh
};

}  // namespace eva::image
