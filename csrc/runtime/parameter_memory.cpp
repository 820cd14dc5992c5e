#include "runtime/parameter_memory.h"

#include <utility>

#include "core/error.h"

namespace eva {

parameter_memory::parameter_memory(std::shared_ptr<backend> owner, int64_t bytes)
    : owner_(std::move(owner)), bytes_(bytes), is_promised_(owner_->promise(bytes)) {
  if (!is_promised_) memory_ = device_memory(owner_, bytes_);
}

std::byte* parameter_memory::data() {
  if (!owner_) throw disposed_error("the parameter");
  if (!memory_.data()) {
    withdraw_promise();
    memory_ = device_memory(owner_, bytes_);
  }
  return memory_.data();
}

void parameter_memory::release() noexcept {
  withdraw_promise();
  memory_.release();
  owner_.reset();
}

void parameter_memory::withdraw_promise() noexcept {
  if (std::exchange(is_promised_, false)) owner_->withdraw(bytes_);
}

}  // namespace eva
