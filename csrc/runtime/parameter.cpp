#include "runtime/parameter.h"

#include <cstring>
#include <utility>

#include "core/error.h"

namespace eva {
namespace {

/// Calls body(begin, end) for all elements at once where there is no padding among them, and otherwise for so
/// many at a time that copies with the padding stay small.
template <class Body>
void for_each_window(const padded_layout& layout, int64_t begin, int64_t end, const Body& body) {
  constexpr int64_t window = int64_t(1) << 20;
  if (layout.place(end) - layout.place(begin) == end - begin) return body(begin, end);
  for (int64_t i = begin; i < end; i += window) body(i, std::min(end, i + window));
}

/// `dims`, which must be the front part of `stored`.
shape front_part(shape dims, const shape& stored) {
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
      dims_(front_part(std::move(dims), stored)),
      stored_{type, std::move(stored)},
      layout_(dims_, stored_.dims) {
  memory_ = destroyed_on(owner_, std::make_unique<device_memory>(owner_->shared_backend(), stored_.bytes()));
  owner_->hold(memory_);
}

tensor parameter::view() const {
  if (!memory_ || !memory_->data()) throw disposed_error("the parameter");
  tensor view = stored_;
  view.data = memory_->data();
  return view;
}

// A part of the memory gets its elements side by side, which are then moved apart, the last row first.
void parameter::fill(int64_t first, int64_t count, const producer& produce) const {
  const int64_t bytes = size_of(type()), front = layout_.place(first), end = layout_.place(first + count);
  owner_->backend().fill(
      memory_->data() + front * bytes, (end - front) * bytes,
      [&](int64_t begin_byte, int64_t end_byte, std::byte* to) {
        const int64_t from_place = front + begin_byte / bytes, to_place = front + end_byte / bytes;
        const int64_t begin = layout_.elements_before(from_place), last = layout_.elements_before(to_place);
        if (begin < last) produce(begin - first, last - first, to);
        if (last - begin == to_place - from_place) return;
        std::byte* filled = to + (to_place - from_place) * bytes;
        for (int64_t i = last, row; i > begin; i = row) {
          row = std::max(begin, layout_.row_begin(i - 1));
          std::byte* place = to + (layout_.place(row) - from_place) * bytes;
          std::memmove(place, to + (row - begin) * bytes, size_t((i - row) * bytes));
          std::fill(place + (i - row) * bytes, filled, std::byte{0});
          filled = place;
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
    const int64_t place = layout_.place(begin), stored = layout_.place(end) - place;
    const std::byte* from = memory_->data() + place * bytes;
    std::byte* elements = to + begin * bytes;
    if (stored == end - begin) return owner_->backend().read(elements, from, stored * bytes);
    std::vector<std::byte> padded(size_t(stored * bytes));
    owner_->backend().read(padded.data(), from, stored * bytes);
    layout_.for_each_run(begin, end, [&](int64_t i, int64_t run, int64_t) {
      std::memcpy(elements + (i - begin) * bytes, padded.data() + (layout_.place(i) - place) * bytes,
                  size_t(run * bytes));
    });
  });
}

}  // namespace eva
