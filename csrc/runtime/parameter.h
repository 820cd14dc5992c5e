#pragma once

#include "core/padded_layout.h"
#include "core/tensor.h"
#include "runtime/parameter_memory.h"

namespace eva {

/// Device storage of a parameter. The stored shape may have more rows and columns than the parameter. Writing
/// an element also writes the padding after it, so the padding is zero once all elements have been written.
/// Copies share the memory and keep it alive when another is disposed.
class parameter {
 public:
  /// Throws argument_error unless `stored` equals `dims` or is larger in the first or last dimension only.
  parameter(std::shared_ptr<device> owner, dtype type, shape dims, shape stored);
  parameter(std::shared_ptr<device> owner, dtype type, const shape& dims)
      : parameter(std::move(owner), type, dims, dims) {}
  /// Rows first_row … of the memory of `whole`, as a parameter of their own. Throws argument_error if `whole`
  /// does not have them.
  parameter(const parameter& whole, int64_t first_row, shape dims, shape stored);

  /// The stored tensor, padding included; throws disposed_error after dispose(). On the device's thread.
  tensor view() const;
  const std::shared_ptr<device>& owner() const { return owner_; }

  /// Type and shape of the stored tensor, without an address.
  const tensor& stored() const { return stored_; }
  dtype type() const { return stored_.type; }
  /// The shape without the padding.
  const shape& dims() const { return dims_; }
  int64_t size() const { return layout_.size(); }
  int64_t bytes() const { return size() * size_of(type()); }

  /// Fills elements [first, first + count), numbered without the padding, by calling `produce` for parts
  /// [begin, end) relative to `first`; see backend::fill. On the device's thread.
  using producer = std::function<void(int64_t begin, int64_t end, std::byte* to)>;
  void fill(int64_t first, int64_t count, const producer& produce) const;
  /// Fills all elements.
  void write(const std::byte* from) const;
  /// Copies all elements without the padding to the host. On the device's thread.
  void read(std::byte* to) const;

  /// Frees the memory once no posted job needs it. Programs that use the parameter keep its memory alive.
  void dispose() { memory_.reset(); }
  const std::shared_ptr<parameter_memory>& memory() const { return memory_; }
  /// Of the first element in its memory, in bytes; not 0 for a window.
  int64_t offset() const { return offset_; }

 private:
  std::byte* data() const { return memory_->data() + offset_; }

  std::shared_ptr<device> owner_;
  shape dims_;
  tensor stored_;
  padded_layout layout_;
  std::shared_ptr<parameter_memory> memory_;
  int64_t offset_ = 0;
};

}  // namespace eva
