#include "runtime/parameter.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace eva {
namespace {

/// Calls body(begin, end) once for all elements if there is no padding among them, and otherwise for windows
/// that bound the size of padded copies.
template <class Body>
void for_each_window(const padded_layout& layout, int64_t begin, int64_t end, const Body& body) {
  constexpr int64_t window = int64_t(1) << 20;
  if (layout.offset_of(end) - layout.offset_of(begin) == end - begin) return body(begin, end);
  for (int64_t i = begin; i < end; i += window) body(i, std::min(end, i + window));
}

/// Returns `dims`; throws argument_error unless `stored` is the same or larger in the first or last
/// dimension.
shape checked_dims(shape dims, const shape& stored) {
  element_count(dims), element_count(stored);  // throw for invalid shapes
  bool fits = dims.size() == stored.size();
  for (size_t i = 0; fits && i < dims.size(); ++i) {
    const bool may_grow = i == 0 || i + 1 == dims.size();
    fits = may_grow ? dims[i] <= stored[i] : dims[i] == stored[i];
  }
  if (!fits)
    throw argument_error("a parameter " + to_string(dims) + " cannot be stored as " + to_string(stored),
                         {{"expected", to_string(dims)}, {"actual", to_string(stored)}});
  return dims;
}

}  // namespace

parameter::parameter(std::shared_ptr<device> owner, dtype type, shape dims, shape stored)
    : owner_(std::move(owner)),
      dims_(checked_dims(std::move(dims), stored)),
      stored_{type, std::move(stored)},
      layout_(dims_, stored_.dims) {
  memory_ =
      destroyed_on(owner_, std::make_unique<parameter_memory>(owner_->shared_backend(), stored_.bytes()));
  owner_->hold(memory_);
}

parameter::parameter(const parameter& whole, int64_t first_row, shape dims, shape stored)
    : owner_(whole.owner_),
      dims_(checked_dims(std::move(dims), stored)),
      stored_{whole.type(), std::move(stored)},
      layout_(dims_, stored_.dims),
      memory_(whole.memory_) {
  const shape& all = whole.stored_.dims;
  const bool fits = !all.empty() && stored_.rank() == int64_t(all.size()) &&
                    std::equal(all.begin() + 1, all.end(), stored_.dims.begin() + 1) && first_row >= 0 &&
                    first_row <= all[0] - stored_.dims[0];
  if (!fits)
    throw argument_error("a parameter " + to_string(all) + " has no rows " + to_string(stored_.dims) +
                             " from row " + std::to_string(first_row) + " on",
                         {{"expected", to_string(all)}, {"actual", to_string(stored_.dims)}});
  if (all[0] > 0) offset_ = whole.offset_ + first_row * (whole.stored_.bytes() / all[0]);
}

tensor parameter::view() const {
  if (!memory_) throw disposed_error("the parameter");
  tensor view = stored_;
  view.data = data();
  return view;
}

// Each part is filled densely, then its rows are spread to their pitch in place, last row first.
void parameter::fill(int64_t first, int64_t count, const producer& produce) const {
  const int64_t bytes = size_of(type()), front = layout_.offset_of(first),
                end = layout_.offset_of(first + count);
  owner_->backend().fill(
      data() + front * bytes, (end - front) * bytes,
      [&](int64_t begin_byte, int64_t end_byte, std::byte* to) {
        const int64_t from_offset = front + begin_byte / bytes, to_offset = front + end_byte / bytes;
        const int64_t begin = layout_.elements_before(from_offset), last = layout_.elements_before(to_offset);
        if (begin < last) produce(begin - first, last - first, to);
        if (last - begin == to_offset - from_offset) return;
        std::byte* filled = to + (to_offset - from_offset) * bytes;
        for (int64_t i = last, row; i > begin; i = row) {
          row = std::max(begin, layout_.row_begin(i - 1));
          std::byte* row_start = to + (layout_.offset_of(row) - from_offset) * bytes;
          std::memmove(row_start, to + (row - begin) * bytes, size_t((i - row) * bytes));
          std::fill(row_start + (i - row) * bytes, filled, std::byte{0});
          filled = row_start;
        }
        std::fill(to, filled, std::byte{0});
      });
}

void parameter::write(const std::byte* from) const {
  const int64_t bytes = size_of(type());
  fill(0, size(), [&](int64_t begin, int64_t end, std::byte* to) {
    std::memcpy(to, from + begin * bytes, size_t((end - begin) * bytes));
  });
}

void parameter::read(std::byte* to) const {
  const int64_t bytes = size_of(type());
  for_each_window(layout_, 0, size(), [&](int64_t begin, int64_t end) {
    const int64_t offset = layout_.offset_of(begin), stored = layout_.offset_of(end) - offset;
    const std::byte* from = data() + offset * bytes;
    std::byte* elements = to + begin * bytes;
    backend& source = owner_->backend();
    if (stored == end - begin) {
      source.read(elements, from, stored * bytes);
      return source.finish();
    }
    std::vector<std::byte> padded(size_t(stored * bytes));
    source.read(padded.data(), from, stored * bytes);
    source.finish();
    layout_.for_each_run(begin, end, [&](int64_t i, int64_t run, int64_t) {
      std::memcpy(elements + (i - begin) * bytes, padded.data() + (layout_.offset_of(i) - offset) * bytes,
                  size_t(run * bytes));
    });
  });
}

}  // namespace eva
