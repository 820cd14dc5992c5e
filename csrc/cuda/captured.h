#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "core/error.h"
#include "cuda/device/runtime.h"
#include "cuda/failure.h"
#include "runtime/backend.h"

namespace eva::cuda {

/// The captured programs of a device. They hold device memory until they are destroyed or the device is
/// closed.
struct captures {
  std::mutex mutex;
  std::set<std::optional<device::recording>*> all;

  int64_t bytes() {
    const std::lock_guard lock(mutex);
    int64_t sum = 0;
    for (const auto* each : all) sum += *each ? (*each)->bytes() : 0;
    return sum;
  }
  void free() {
    const std::lock_guard lock(mutex);
    for (auto* each : all) each->reset();
  }
};

class captured final : public kernel {
 public:
  captured(std::shared_ptr<captures> owner, device::stream on, device::recording recorded)
      : owner_(std::move(owner)), on_(on), work_(std::move(recorded)) {
    const std::lock_guard lock(owner_->mutex);
    owner_->all.insert(&work_);
  }
  ~captured() override {
    const std::lock_guard lock(owner_->mutex);
    owner_->all.erase(&work_);
  }

  void run() override {
    if (!work_) throw disposed_error("the device");
    translated([&] { work_->replay(on_); }, "a captured program");
  }

 private:
  std::shared_ptr<captures> owner_;
  device::stream on_;
  std::optional<device::recording> work_;
};

}  // namespace eva::cuda
