#pragma once

#include <memory>

#include "runtime/backend.h"
#include "runtime/device_thread.h"

namespace eva {

/// Bytes of a device that live as long as this object.
class device_memory {
 public:
  device_memory() = default;
  device_memory(std::shared_ptr<backend> owner, int64_t bytes);
  ~device_memory();
  device_memory(device_memory&& other) noexcept { swap(other); }
  device_memory& operator=(device_memory&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void swap(device_memory& other) noexcept;

  std::shared_ptr<backend> owner_;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// A backend with its thread, and the one arena that all its programs share: they run one after another, and
/// nothing in it outlives a run.
class device {
 public:
  explicit device(std::shared_ptr<eva::backend> implementation);

  eva::backend& backend() const { return *backend_; }
  const std::shared_ptr<eva::backend>& shared_backend() const { return backend_; }
  device_thread& thread() { return thread_; }

  /// Makes the arena at least this large. On the device's thread.
  void reserve_arena(int64_t bytes);
  /// The next run takes it again. On the device's thread.
  void free_arena() {
    arena_ = {};
    ++arena_generation_;
  }
  const device_memory& arena() const { return arena_; }
  /// Changes whenever the arena has moved.
  int arena_generation() const { return arena_generation_; }

  void close() { thread_.stop(); }
  bool closed() const { return thread_.cancelled(); }

 private:
  std::shared_ptr<eva::backend> backend_;
  device_memory arena_;
  int arena_generation_ = 0;
  device_thread thread_;
};

}  // namespace eva
