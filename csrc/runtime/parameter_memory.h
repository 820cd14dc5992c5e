#pragma once

#include "runtime/device.h"

namespace eva {

/// Memory of a parameter, made on any thread. Where allocating takes long (see backend::promise), it is
/// allocated at its first use, on the device's thread.
class parameter_memory final : public device_resource {
 public:
  /// Throws out_of_memory_error.
  parameter_memory(std::shared_ptr<backend> owner, int64_t bytes);
  ~parameter_memory() override { release(); }
  parameter_memory(const parameter_memory&) = delete;
  parameter_memory& operator=(const parameter_memory&) = delete;

  /// On the device's thread. Throws disposed_error after release(), and out_of_memory_error where the memory
  /// that was promised has been taken by another process.
  std::byte* data();
  void release() noexcept override;

 private:
  void withdraw_promise() noexcept;

  std::shared_ptr<backend> owner_;  // null after release()
  int64_t bytes_;
  bool is_promised_;
  device_memory memory_;
};

}  // namespace eva
