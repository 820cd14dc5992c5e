#pragma once

#include "core/padded_layout.h"
#include "core/tensor.h"
#include "runtime/device.h"

namespace eva {

/// A named tensor's storage: what training changes and checkpoints hold. The device may hold more rows and
/// columns than the tensor has. These are zero once the tensor has been written whole: whoever writes an
/// element writes the padding behind it. A copy is the same memory, which it keeps when the other disposes.
class parameter {
 public:
  /// Throws argument_error when `dims` are not the front part of `stored`.
  parameter(std::shared_ptr<device> owner, dtype type, shape dims, shape stored);
  parameter(std::shared_ptr<device> owner, dtype type, const shape& dims)
      : parameter(std::move(owner), type, dims, dims) {}

  /// Memory as the device has it; throws disposed_error after dispose().
  tensor view() const;
  const std::shared_ptr<device>& owner() const { return owner_; }

  /// As the device has it, without an address.
  const tensor& stored() const { return stored_; }
  dtype type() const { return stored_.type; }
  /// Without the padding.
  const shape& dims() const { return dims_; }
  int64_t size() const { return layout_.size(); }
  int64_t bytes() const { return size() * size_of(type()); }

  /// Fills elements first … first + count - 1, counted without the padding, with what `produce` gives for
  /// each part: those from `begin` to `end`, counted from `first`. On the device's thread; as backend::fill.
  using producer = std::function<void(int64_t begin, int64_t end, std::byte* to)>;
  void fill(int64_t first, int64_t count, const producer& produce) const;
  /// Fills all elements.
  void write(const std::byte* from) const;
  /// Copies all elements without the padding to the host. On the device's thread.
  void read(std::byte* to) const;

  /// Frees the memory once nothing on the device's thread needs it. Programs that use the parameter keep it
  /// alive, and working, until they go.
  void dispose() { memory_.reset(); }
  const std::shared_ptr<device_memory>& memory() const { return memory_; }

 private:
  std::shared_ptr<device> owner_;
  shape dims_;
  tensor stored_;
  padded_layout layout_;
  std::shared_ptr<device_memory> memory_;
};

}  // namespace eva
