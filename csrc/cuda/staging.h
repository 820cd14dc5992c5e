#pragma once

#include <array>
#include <cstdint>

#include "cuda/device/runtime.cuh"

namespace eva::cuda {

/// Copies between the host's pageable memory and the device through a ring of pinned slots: while the device
/// copies one slot, the host fills or empties another.
class staging {
 public:
  /// `host` may change when this returns; the device has the bytes before any work that is queued later.
  void write(void* memory, const void* host, int64_t bytes, device::stream on);
  /// Returns when `host` holds the bytes as all work queued before leaves them.
  void read(void* host, const void* memory, int64_t bytes, device::stream on);

  static constexpr int64_t slot_bytes = int64_t(4) << 20;

 private:
  struct slot {
    device::pinned_buffer memory{size_t(slot_bytes)};
    device::event copied;
  };

  slot& next() { return slots_[size_t(turn_++ % int64_t(slots_.size()))]; }

  std::array<slot, 4> slots_;
  int64_t turn_ = 0;
};

}  // namespace eva::cuda
