#include "image/resample.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace eva::image {
namespace {

using cpu::filter_channels;
using cpu::taps_per_group;

/// Rows whose filtered columns stay in the cache until their sums are added: 48 KB at 224 columns.
constexpr int64_t block_rows = 64;
/// Most bytes for a table of all column weights; larger ones are computed again for each block of rows.
constexpr int64_t most_table_bytes = int64_t(16) << 20;

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

int16_t high_part(int32_t weight) { return int16_t(weight >> cpu::low_weight_bits); }
int16_t low_part(int32_t weight) { return int16_t(weight & ((1 << cpu::low_weight_bits) - 1)); }

/// Appends the parts of the weights of each pair: h0 h1 l0 l1. A missing second weight is 0.
void append_pairs(std::span<const int32_t> weights, std::vector<int16_t>& to) {
  for (size_t i = 0; i < weights.size(); i += 2) {
    const int32_t second = i + 1 < weights.size() ? weights[i + 1] : 0;
    to.insert(to.end(), {high_part(weights[i]), high_part(second), low_part(weights[i]), low_part(second)});
  }
}

int64_t width_of(pixel_range range) { return range.end - range.begin; }

}  // namespace

resampler::resampler(const resample_axis& x, const resample_axis& y, const resampling_filter& filter,
                     uint8_t* out, const cpu::pixel_filter& kernels)
    : kernels_(kernels),
      x_(x, filter),
      y_(y, filter),
      out_(out),
      part_stride_(width_of(x_.inputs()) * filter_channels),
      row_bytes_(x.count * filter_channels),
      // One byte more, which filter_columns overwrites.
      block_stride_(round_up(row_bytes_ + 1, cpu::filter_block)),
      next_row_(y_.inputs().begin),
      next_output_(y.offset) {
  block_.resize(size_t(std::min(block_rows, width_of(rows())) * block_stride_));
}

void resampler::make_column_table(int64_t begin, int64_t count) {
  table_ = {};
  table_.begin = begin;
  table_.count = count;
  table_.stride = (x_.most_inputs() + taps_per_group - 1) / taps_per_group;
  const int64_t first_column = columns().begin;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t column = x_.axis().offset + begin + i;
    x_.weigh(column, column_weights_);
    table_.first.push_back(x_.inputs_of(column).begin - first_column);
    table_.groups.push_back((int64_t(column_weights_.size()) + taps_per_group - 1) / taps_per_group);
    append_pairs(column_weights_, table_.weights);
    table_.weights.resize(size_t((i + 1) * table_.stride * 2 * taps_per_group));
  }
}

/// Filters the columns of rows that may be read beyond their end, to the block.
void resampler::filter_columns(const uint8_t* rows, int64_t count) {
  const int64_t column_bytes = round_up(x_.most_inputs(), taps_per_group) * 2 * int64_t(sizeof(int16_t)) +
                               2 * int64_t(sizeof(int64_t));
  const int64_t all = x_.axis().count, most = std::max<int64_t>(1, most_table_bytes / column_bytes);
  for (int64_t begin = 0; begin < all; begin += most) {
    if (table_.begin != begin) make_column_table(begin, std::min(most, all - begin));
    const cpu::column_filter filter{table_.count, table_.first.data(), table_.groups.data(),
                                    table_.weights.data(), table_.stride};
    kernels_.columns(rows, part_stride_, count, filter, block_.data() + begin * filter_channels,
                     block_stride_);
  }
}

/// Adds the rows of the block that inputs of an output are in; stores the output if these are its last.
void resampler::add_to_output(int64_t output, row_sums& to, int64_t block_end) {
  const auto [begin, end] = y_.inputs_of(output);
  const int64_t from = std::max(begin, next_row_), until = std::min(end, block_end);
  pair_weights_.clear();
  append_pairs(std::span(to.weights).subspan(size_t(from - begin), size_t(until - from)), pair_weights_);
  kernels_.add_rows(block_.data() + (from - next_row_) * block_stride_, block_stride_, until - from,
                    pair_weights_.data(), row_bytes_, to.sums.data());
  if (until == end)
    kernels_.round(to.sums.data(), row_bytes_, out_ + (output - y_.axis().offset) * row_bytes_);
}

void resampler::add_rows(const uint8_t* rows, int64_t count) {
  filter_columns(rows, count);
  const int64_t block_end = next_row_ + count, outputs_end = y_.axis().offset + y_.axis().count;
  for (int64_t output = next_output_; output < outputs_end; ++output) {
    const auto [begin, end] = y_.inputs_of(output);
    if (begin >= block_end) break;
    if (size_t(output - next_output_) == active_.size()) {
      if (spare_.empty()) spare_.emplace_back();
      active_.push_back(std::move(spare_.back()));
      spare_.pop_back();
      y_.weigh(output, active_.back().weights);
      active_.back().sums.assign(size_t(block_stride_), 0);
    }
    add_to_output(output, active_[size_t(output - next_output_)], block_end);
    if (end > block_end) continue;
    // Outputs are completed in order, because their inputs end in order.
    spare_.push_back(std::move(active_.front()));
    active_.pop_front();
    ++next_output_;
  }
  next_row_ = block_end;
}

void resampler::add(std::span<const uint8_t> part) {
  const int64_t bytes = int64_t(part.size()), count = bytes / part_stride_;
  if (count * part_stride_ != bytes || count > rows().end - next_row_)
    throw argument_error("a part of an image must be rows of " + std::to_string(part_stride_) +
                         " bytes, at most " + std::to_string(rows().end - next_row_) + ", found " +
                         std::to_string(bytes) + " bytes");
  // From the last pixel of the last row that is filtered in place, all that a kernel may read is in the part.
  const int64_t beyond = cpu::filter_reach - filter_channels;
  const int64_t in_place = std::max<int64_t>(0, (bytes - beyond) / part_stride_);
  for (int64_t row = 0; row < in_place; row += block_rows)
    add_rows(part.data() + row * part_stride_, std::min(block_rows, in_place - row));
  tail_.assign(part.begin() + in_place * part_stride_, part.end());
  tail_.resize(tail_.size() + size_t(beyond));
  for (int64_t row = in_place; row < count; row += block_rows)
    add_rows(tail_.data() + (row - in_place) * part_stride_, std::min(block_rows, count - row));
}

}  // namespace eva::image
