#include "io/stored_tensor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"
#include "cpu/dispatch/convert_elements.h"

namespace eva::io {
namespace {

/// Bytes read and converted at a time, which fit in the cache.
constexpr int64_t window = int64_t(64) << 10;

/// Tile size of transposes: every cache line is used up before it is evicted.
constexpr int64_t tile = 64;

bool add(int64_t& sum, int64_t a, int64_t b) {
  int64_t product = 0;
  return !__builtin_mul_overflow(a, b, &product) && !__builtin_add_overflow(sum, product, &sum);
}

/// Copies strided elements to dense, row-major memory.
class strided_copy {
 public:
  strided_copy(const shape& dims, const shape& strides, cpu::convert_run convert, int64_t to_bytes)
      : dims_(dims),
        strides_(strides),
        convert_(convert),
        to_strides_(dims.size(), to_bytes),
        to_bytes_(to_bytes) {
    for (size_t i = dims.size() - 1; i > 0; --i) to_strides_[i - 1] = to_strides_[i] * dims[i];
    last_dim_ = dims.size() - 1;
    fastest_ = size_t(std::min_element(strides.begin(), strides.end()) - strides.begin());
    if (strides[fastest_] == strides[last_dim_]) fastest_ = last_dim_;
  }

  /// Copies elements [first, end) of the sub-array of dimensions `dimension` and up that starts at `from`.
  void copy(size_t dimension, const std::byte* from, int64_t first, int64_t end, std::byte* to) const {
    const int64_t inner = to_strides_[dimension] / to_bytes_;
    if (dimension == last_dim_)
      return convert_(from + first * strides_[last_dim_], strides_[last_dim_], end - first, to);
    while (first < end) {
      const int64_t index = first / inner, skipped = first % inner;
      const std::byte* row = from + index * strides_[dimension];
      const int64_t rows = skipped == 0 ? (end - first) / inner : 0;
      const int64_t copied = rows > 0 ? rows * inner : std::min(inner - skipped, end - first);
      if (rows > 0)
        copy_slices(dimension, dimension, rows, row, to);
      else
        copy(dimension + 1, row, skipped, skipped + copied, to);
      first += copied;
      to += copied * to_bytes_;
    }
  }

 private:
  /// Copies `rows` full slices along dimension `top`, recursively: `dimension` is the current level.
  void copy_slices(size_t top, size_t dimension, int64_t rows, const std::byte* from, std::byte* to) const {
    const int64_t count = dimension == top ? rows : dims_[dimension];
    const bool transposes = fastest_ != last_dim_ && fastest_ >= top;
    if (dimension == last_dim_) {
      if (transposes)
        transpose(fastest_ == top ? rows : dims_[fastest_], from, to);
      else
        convert_(from, strides_[last_dim_], count, to);
    } else if (transposes && dimension == fastest_) {
      copy_slices(top, dimension + 1, rows, from, to);  // transpose() loops over this dimension
    } else {
      for (int64_t i = 0; i < count; ++i)
        copy_slices(top, dimension + 1, rows, from + i * strides_[dimension],
                    to + i * to_strides_[dimension]);
    }
  }

  /// Copies the plane of the last dimension and the one with the smallest stride in the file.
  void transpose(int64_t rows, const std::byte* from, std::byte* to) const {
    const int64_t columns = dims_[last_dim_];
    for (int64_t column = 0; column < columns; column += tile)
      for (int64_t top = 0; top < rows; top += tile)
        for (int64_t row = top; row < std::min(rows, top + tile); ++row)
          convert_(from + row * strides_[fastest_] + column * strides_[last_dim_], strides_[last_dim_],
                   std::min(tile, columns - column), to + row * to_strides_[fastest_] + column * to_bytes_);
  }

  const shape& dims_;
  const shape& strides_;
  cpu::convert_run convert_;
  shape to_strides_;  // strides of the result, in bytes
  int64_t to_bytes_;
  size_t last_dim_;
  size_t fastest_;  // the dimension with the smallest stride in the file
};

}  // namespace

stored_tensor::stored_tensor(std::shared_ptr<const mapped_file> file, stored_dtype type, int64_t offset,
                             shape dims, shape strides)
    : file_(std::move(file)), type_(type), offset_(offset), size_(1), end_(offset) {
  const std::string what = "the tensor " + to_string(dims) + " with strides " + to_string(strides) +
                           " at byte " + std::to_string(offset) + " of " + file_->path();
  const auto fail = [&](const std::string& problem) {
    return argument_error(what + " " + problem, {{"path", file_->path()}});
  };
  const auto negative = [](int64_t value) { return value < 0; };
  if (dims.size() != strides.size()) throw fail("does not have one stride per dimension");
  if (offset < 0 || std::any_of(dims.begin(), dims.end(), negative) ||
      std::any_of(strides.begin(), strides.end(), negative))
    throw fail("has a negative size, stride or offset");
  const bool empty = std::find(dims.begin(), dims.end(), 0) != dims.end();
  int64_t last = 0;
  bool sound = true;
  for (size_t i = 0; i < dims.size() && !empty; ++i)
    sound = sound && !__builtin_mul_overflow(size_, dims[i], &size_) && add(last, dims[i] - 1, strides[i]);
  if (empty) size_ = 0;
  sound = sound && (empty || (add(last, 1, 1) && add(end_, last, size_of(type))));
  if (!sound || end_ > file_->size()) throw fail("exceeds its " + std::to_string(file_->size()) + " bytes");

  for (size_t i = 0; i < dims.size() && !empty; ++i) {
    if (dims[i] == 1) continue;
    const int64_t stride = strides[i] * size_of(type);
    if (!dims_.empty() && strides_.back() == dims[i] * stride) {
      dims_.back() *= dims[i];
      strides_.back() = stride;
    } else {
      dims_.push_back(dims[i]);
      strides_.push_back(stride);
    }
  }
  if (dims_.empty()) {
    dims_ = {size_};
    strides_ = {size_of(type)};
  }
}

bool stored_tensor::dense() const { return dims_.size() == 1 && strides_[0] == size_of(type_); }

/// Bytes spanned by one index of a dimension, from its first element to the end of its last.
int64_t stored_tensor::extent(size_t dimension) const {
  int64_t bytes = size_of(type_);
  for (size_t i = dimension + 1; i < dims_.size(); ++i) bytes += (dims_[i] - 1) * strides_[i];
  return bytes;
}

stored_tensor::byte_range stored_tensor::range_of(int64_t first, int64_t count) const {
  int64_t begin = offset_, last = first + count - 1, inner = size_;
  for (size_t i = 0; i < dims_.size(); ++i) {
    inner /= dims_[i];
    const int64_t low = first / inner, high = last / inner;
    begin += low * strides_[i];
    if (low != high) return {begin, begin + (high - low) * strides_[i] + extent(i)};
    first %= inner;
    last %= inner;
  }
  return {begin, begin + size_of(type_)};
}

void stored_tensor::copy_dense(byte_range from, stored_dtype to_type, std::byte* to) const {
  if (type_ == to_type) return file_->read(from.begin, from.end, to);
  const int64_t from_bytes = size_of(type_), to_bytes = size_of(to_type);
  const cpu::convert_run convert = cpu::conversion(type_, to_type);
  std::array<std::byte, window> stored;
  for (int64_t begin = from.begin; begin < from.end; begin += window) {
    const int64_t end = std::min(begin + window, from.end), count = (end - begin) / from_bytes;
    file_->read(begin, end, stored.data());
    convert(stored.data(), from_bytes, count, to);
    to += count * to_bytes;
  }
}

void stored_tensor::copy(int64_t first, int64_t count, stored_dtype to_type, std::byte* to) const {
  if (first < 0 || count < 0 || first > size_ - count)
    throw argument_error("elements " + std::to_string(first) + " to " + std::to_string(first + count) +
                         " are out of range for a stored tensor of " + std::to_string(size_) + " elements");
  if (count == 0) return;
  const byte_range range = range_of(first, count);
  if (dense()) return copy_dense(range, to_type, to);
  file_->check_size(range.end);
  strided_copy(dims_, strides_, cpu::conversion(type_, to_type), size_of(to_type))
      .copy(0, file_->data() + offset_, first, first + count, to);
  file_->release(range.begin, range.end);
}

}  // namespace eva::io
