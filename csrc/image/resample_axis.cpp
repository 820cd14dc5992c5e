#include "image/resample_axis.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/error.h"
#include "cpu/dispatch/filter_pixels.h"

namespace eva::image {
namespace {

// The order of operations is Pillow's: a weight near a half of 2^-22 may otherwise be rounded to another
// integer.

double box_weight(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double triangle_weight(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double hamming_weight(double x) {
  x = std::abs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x *= std::numbers::pi;
  return std::sin(x) / x * (0.54 + 0.46 * std::cos(x));
}

/// Cubic convolution with a = -0.5 (Keys 1981).
double cubic_weight(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos_weight(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

constexpr std::pair<const char*, resampling_filter> filters[] = {{"box", {box_weight, 0.5}},
                                                                 {"bilinear", {triangle_weight, 1}},
                                                                 {"hamming", {hamming_weight, 1}},
                                                                 {"bicubic", {cubic_weight, 2}},
                                                                 {"lanczos", {lanczos_weight, 3}}};

void check(const resample_axis& axis) {
  // Positions are computed in double; larger numbers would not be exact.
  constexpr int64_t most = int64_t(1) << 48;
  const bool is_box = axis.begin >= 0 && axis.begin < axis.end && axis.end <= float(axis.length);
  const bool is_window = axis.offset >= 0 && axis.count > 0 && axis.count <= axis.target - axis.offset;
  if (axis.length <= 0 || axis.length > most || axis.target > most || !is_box || !is_window)
    throw argument_error("a resize takes a range of an image's pixels to a window of its target");
}

}  // namespace

const resampling_filter& filter_named(const std::string& name) {
  for (const auto& [known, filter] : filters)
    if (name == known) return filter;
  throw argument_error("a resampling filter is box, bilinear, hamming, bicubic or lanczos, not " + name);
}

axis_weights::axis_weights(const resample_axis& axis, const resampling_filter& filter)
    : axis_(axis), filter_(filter) {
  check(axis);
  scale_ = double(axis.end - axis.begin) / double(axis.target);
  stretch_ = std::max(scale_, 1.0);
  support_ = filter.support * stretch_;
  is_copy_ = axis.target == axis.length && scale_ == 1.0;
}

pixel_range axis_weights::inputs_of(int64_t index) const {
  if (is_copy_) return {index, index + 1};
  const double center = center_of(index);
  const int64_t begin = std::max<int64_t>(0, int64_t(center - support_ + 0.5));
  const int64_t end = std::min(axis_.length, int64_t(center + support_ + 0.5));
  // Rounding a box beyond 2^24 pixels may leave its last output without inputs.
  return end > begin ? pixel_range{begin, end} : pixel_range{axis_.length - 1, axis_.length};
}

pixel_range axis_weights::inputs() const {
  return {inputs_of(axis_.offset).begin, inputs_of(axis_.offset + axis_.count - 1).end};
}

int64_t axis_weights::most_inputs() const {
  return std::min(axis_.length, 2 * int64_t(std::ceil(support_)) + 1);
}

void axis_weights::weigh(int64_t index, std::vector<int32_t>& weights) const {
  const auto [begin, end] = inputs_of(index);
  const double center = center_of(index), per_pixel = 1.0 / stretch_;
  double sum = 0;
  exact_.clear();
  for (int64_t input = begin; input < end; ++input) {
    exact_.push_back(filter_.weight((double(input) - center + 0.5) * per_pixel));
    sum += exact_.back();
  }
  weights.clear();
  for (double weight : exact_) {
    if (sum != 0.0) weight /= sum;
    const double scaled = weight * (1 << cpu::weight_bits);
    weights.push_back(int32_t(weight < 0 ? -0.5 + scaled : 0.5 + scaled));
  }
}

}  // namespace eva::image
