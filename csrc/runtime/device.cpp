#include "runtime/device.h"

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

device::device(std::shared_ptr<eva::backend> implementation)
    : backend_(std::move(implementation)), thread_([shared = backend_] { shared->enter_thread(); }) {}

void device::reserve_arena(int64_t bytes) {
  if (bytes <= arena_.bytes()) return;
  arena_ = {};  // free first: the old and the new arena need not fit together
  ++arena_generation_;
  arena_ = device_memory(backend_, bytes);
}

}  // namespace eva
