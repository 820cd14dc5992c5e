#include "runtime/device.h"

#include <algorithm>
#include <utility>

namespace eva {

device_memory::device_memory(std::shared_ptr<backend> owner, int64_t bytes)
    : owner_(std::move(owner)), bytes_(bytes) {
  data_ = static_cast<std::byte*>(owner_->allocate(bytes));
}

device_memory::~device_memory() {
  if (data_) owner_->release(data_, bytes_);
}

void device_memory::swap(device_memory& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

device::device() : thread_([this] { release(); }) {}

device::device(std::shared_ptr<eva::backend> implementation) : device() {
  backend_ = std::move(implementation);
  thread_.post([this] { backend_->enter_thread(); });
}

void device::open(const opener& make) {
  backend_ = make();
  info_ = backend_->info();
  backend_->enter_thread();
}

void device::reserve_arena(int64_t bytes) {
  if (bytes <= arena_.bytes()) return;
  arena_ = {};  // free first: there may not be memory for both arenas at once
  ++arena_generation_;
  arena_ = device_memory(backend_, bytes);
}

void device::hold(std::weak_ptr<device_resource> resource) {
  const std::lock_guard lock(held_mutex_);
  if (held_.size() >= held_limit_) {
    std::erase_if(held_, [](const auto& each) { return each.expired(); });
    held_limit_ = std::max<size_t>(64, 2 * held_.size());
  }
  held_.push_back(std::move(resource));
}

device_thread& device::input_lane() {
  if (!input_lane_) input_lane_ = std::make_unique<device_thread>([] {});
  return *input_lane_;
}

void device::release() noexcept {
  if (input_lane_) {
    if (thread_.cancelled()) input_lane_->stop();
    input_lane_->finish();
    input_lane_->join();
  }
  std::vector<std::weak_ptr<device_resource>> held;
  {
    const std::lock_guard lock(held_mutex_);
    held.swap(held_);
  }
  for (const auto& weak : held)
    if (const auto resource = weak.lock()) resource->release();
  arena_.release();
  backend_.reset();
}

void device::close() {
  closed_ = true;
  thread_.finish();
}

void device::stop() {
  closed_ = true;
  thread_.stop();
}

}  // namespace eva
