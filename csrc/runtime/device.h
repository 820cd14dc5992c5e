#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/backend.h"
#include "runtime/device_thread.h"

namespace eva {

/// An object that owns device memory.
struct device_resource {
  virtual ~device_resource() = default;
  /// Frees the memory now. On the device's thread.
  virtual void release() noexcept = 0;
};

/// Owner of a block of device memory.
class device_memory final : public device_resource {
 public:
  device_memory() = default;
  device_memory(std::shared_ptr<backend> owner, int64_t bytes);
  ~device_memory() override;
  device_memory(device_memory&& other) noexcept { swap(other); }
  device_memory& operator=(device_memory&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  void release() noexcept override { const device_memory released = std::move(*this); }

 private:
  void swap(device_memory& other) noexcept;

  std::shared_ptr<backend> owner_;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// A backend with its thread and the one arena that all its programs share: programs run one after another,
/// and nothing in the arena outlives a run. Must not be destroyed on its own thread.
class device {
 public:
  using opener = std::function<std::shared_ptr<eva::backend>()>;

  /// Starts the thread, on which `open` must then be called. Throws device_error if the thread cannot be
  /// started.
  device();
  explicit device(std::shared_ptr<eva::backend> implementation);

  void open(const opener& make);
  const eva::backend::description& info() const { return info_; }

  eva::backend& backend() const { return *backend_; }
  const std::shared_ptr<eva::backend>& shared_backend() const { return backend_; }
  device_thread& thread() { return thread_; }
  /// The thread that copies inputs beside the work of thread(). Started at the first call, which must be on
  /// the thread that closes the device; throws device_error.
  device_thread& input_lane();
  /// On a thread that knows of the lane: it is there, or this thread would start it.
  void wake_input_lane() {
    if (input_lane_) input_lane_->wake();
  }

  /// Makes the arena at least this large. On the device's thread.
  void reserve_arena(int64_t bytes);
  /// The next run allocates it again. On the device's thread.
  void free_arena() {
    arena_ = {};
    ++arena_generation_;
  }
  const device_memory& arena() const { return arena_; }
  /// Changes whenever the arena moves.
  int arena_generation() const { return arena_generation_; }

  /// Registers a resource to be released with the device.
  void hold(std::weak_ptr<device_resource> resource);
  /// Frees all memory. On the device's thread, as its last job.
  void release() noexcept;

  /// Refuses new work; the thread ends after the jobs already posted.
  void close();
  /// Closes immediately: cancels the running job, drops the others and joins the thread.
  void stop();
  bool closed() const { return closed_; }

 private:
  std::shared_ptr<eva::backend> backend_;
  eva::backend::description info_;
  device_memory arena_;
  int arena_generation_ = 0;
  std::mutex held_mutex_;
  std::vector<std::weak_ptr<device_resource>> held_;
  size_t held_limit_ = 64;  // size at which expired ones are removed
  std::atomic<bool> closed_ = false;
  std::unique_ptr<device_thread> input_lane_;
  device_thread thread_;
};

/// Shares an object that is destroyed on the device's thread, after the jobs already posted, because freeing
/// GPU memory waits for the GPU.
template <class T>
std::shared_ptr<T> destroyed_on(const std::shared_ptr<device>& on, std::unique_ptr<T> object) {
  return std::shared_ptr<T>(object.release(), [weak = std::weak_ptr(on)](T* last) {
    std::shared_ptr<T> owner(last);
    if (const auto live = weak.lock()) live->thread().post([gone = std::move(owner)] {});
  });
}

}  // namespace eva
