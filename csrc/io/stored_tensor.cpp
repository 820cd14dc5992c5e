#include "io/stored_tensor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"
#include "io/convert_elements.h"

namespace eva::io {
namespace {

/// Bytes passed on at a time: stay in the cache when they are converted; many where the source is read across
/// its rows, because each window then touches all of its pages; and few enough that resident memory stays
/// low.
constexpr int64_t converted_window = int64_t(1) << 20, strided_window = int64_t(16) << 20,
                  copied_window = int64_t(8) << 20;

/// Rows and columns that a transposition handles together: their cache lines are used up before they are
/// evicted.
constexpr int64_t tile = 64;

bool add(int64_t& sum, int64_t a, int64_t b) {
  int64_t product = 0;
  return !__builtin_mul_overflow(a, b, &product) && !__builtin_add_overflow(sum, product, &sum);
}

/// A dense copy of a box of elements in row-major order.
class box_copy {
 public:
  box_copy(const shape& dims, const shape& strides, convert_run convert, int64_t to_bytes)
      : dims_(dims),
        strides_(strides),
        convert_(convert),
        inner_(dims.size(), to_bytes),
        to_bytes_(to_bytes) {
    for (size_t i = dims.size() - 1; i > 0; --i) inner_[i - 1] = inner_[i] * dims[i];
    last_ = dims.size() - 1;
    nearest_ = size_t(std::min_element(strides.begin(), strides.end()) - strides.begin());
    if (strides[nearest_] == strides[last_]) nearest_ = last_;
  }

  /// The elements from the `first` to before the `end` of the dimensions from `dimension` on, whose first
  /// lies at `from`.
  void copy(size_t dimension, const std::byte* from, int64_t first, int64_t end, std::byte* to) const {
    const int64_t inner = inner_[dimension] / to_bytes_;
    if (dimension == last_) return convert_(from + first * strides_[last_], strides_[last_], end - first, to);
    while (first < end) {
      const int64_t index = first / inner, skipped = first % inner;
      const std::byte* row = from + index * strides_[dimension];
      const int64_t rows = skipped == 0 ? (end - first) / inner : 0;
      const int64_t copied = rows > 0 ? rows * inner : std::min(inner - skipped, end - first);
      if (rows > 0)
        whole(dimension, dimension, rows, row, to);
      else
        copy(dimension + 1, row, skipped, skipped + copied, to);
      first += copied;
      to += copied * to_bytes_;
    }
  }

 private:
  /// `rows` indices of the dimension `top`, all of those inside it; `dimension` is the one that the loop has
  /// come to.
  void whole(size_t top, size_t dimension, int64_t rows, const std::byte* from, std::byte* to) const {
    const int64_t count = dimension == top ? rows : dims_[dimension];
    const bool across = nearest_ != last_ && nearest_ >= top;
    if (dimension == last_) {
      if (across)
        transpose(nearest_ == top ? rows : dims_[nearest_], from, to);
      else
        convert_(from, strides_[last_], count, to);
    } else if (across && dimension == nearest_) {
      whole(top, dimension + 1, rows, from, to);  // its loop is inside that of transpose
    } else {
      for (int64_t i = 0; i < count; ++i)
        whole(top, dimension + 1, rows, from + i * strides_[dimension], to + i * inner_[dimension]);
    }
  }

  /// The plane of the dimension that lies densest in the file and the last one.
  void transpose(int64_t rows, const std::byte* from, std::byte* to) const {
    const int64_t columns = dims_[last_];
    for (int64_t column = 0; column < columns; column += tile)
      for (int64_t top = 0; top < rows; top += tile)
        for (int64_t row = top; row < std::min(rows, top + tile); ++row)
          convert_(from + row * strides_[nearest_] + column * strides_[last_], strides_[last_],
                   std::min(tile, columns - column), to + row * inner_[nearest_] + column * to_bytes_);
  }

  const shape& dims_;
  const shape& strides_;
  convert_run convert_;
  shape inner_;  // bytes of the result from one index of a dimension to the next
  int64_t to_bytes_;
  size_t last_;
  size_t nearest_;  // the dimension with the least stride
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
  if (dims.size() != strides.size()) throw fail("does not have a stride for each dimension");
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
  if (!sound || end_ > file_->size())
    throw fail("is not inside its " + std::to_string(file_->size()) + " bytes");

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

/// Bytes from the first element to behind the last one of one index of a dimension.
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

void stored_tensor::copy(int64_t first, int64_t count, stored_dtype to_type, void* to) const {
  if (first < 0 || count < 0 || first > size_ - count)
    throw argument_error("elements " + std::to_string(first) + " to " + std::to_string(first + count) +
                         " of a stored tensor of " + std::to_string(size_));
  if (count == 0) return;
  const byte_range range = range_of(first, count);
  file_->check_size(range.end);
  box_copy(dims_, strides_, conversion(type_, to_type), size_of(to_type))
      .copy(0, file_->data() + offset_, first, first + count, static_cast<std::byte*>(to));
  file_->release(range.begin, range.end);
}

void stored_tensor::stream(stored_dtype to_type, const sink& write) const {
  const int64_t bytes = size_of(to_type);
  const bool in_place = dense() && type_ == to_type;
  const int64_t window = (in_place ? copied_window : dense() ? converted_window : strided_window) / bytes;
  std::vector<std::byte> staging(in_place ? 0 : size_t(std::min(window, size_) * bytes));
  for (int64_t first = 0; first < size_; first += window) {
    const int64_t count = std::min(window, size_ - first);
    if (in_place) {
      const byte_range range = range_of(first, count);
      file_->check_size(range.end);
      write(first * bytes, file_->data() + range.begin, count * bytes);
      file_->release(range.begin, range.end);
    } else {
      copy(first, count, to_type, staging.data());
      write(first * bytes, staging.data(), count * bytes);
    }
  }
}

}  // namespace eva::io
