#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "cuda/device/runtime.cuh"
#include "runtime/backend.h"

namespace eva::cuda {

/// Copies between the host's pageable memory and the device through pinned slots: while the device copies one
/// slot, the host fills or empties others. One thread fills slots more slowly than the device empties them,
/// so what is large (a batch of images) is filled by several.
class staging {
 public:
  /// The device has what `produce` gave before any work that is queued later.
  void fill(void* memory, int64_t bytes, const backend::producer& produce, device::stream on);
  /// Returns when `host` holds the bytes as all work queued before leaves them.
  void read(void* host, const void* memory, int64_t bytes, device::stream on);

  /// Gives the pinned memory back; it is taken again when it is needed. Nothing may be under way.
  void free() { slots_.reset(); }

  static constexpr int64_t slot_bytes = int64_t(4) << 20;

 private:
  struct slot {
    device::pinned_buffer memory{size_t(slot_bytes)};
    device::event copied;
  };

  static constexpr int lanes = 4;

  struct upload {
    std::byte* memory;
    int64_t bytes;
    const backend::producer& produce;
    device::stream on;
  };

  static void fill_part(const upload& all, int64_t part, slot& through);
  /// Fills its own two slots in turn, with the parts that no other lane has taken.
  void fill_parts(const upload& all, int lane, std::atomic<int64_t>& next_part);
  using ring = std::array<slot, size_t(2 * lanes)>;
  ring& slots() {
    if (!slots_) slots_ = std::make_unique<ring>();
    return *slots_;
  }
  slot& next() { return slots()[size_t(turn_++ % int64_t(std::tuple_size_v<ring>))]; }

  std::unique_ptr<ring> slots_;
  int64_t turn_ = 0;
};

}  // namespace eva::cuda
