#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/device/runtime.h"
#include "runtime/backend.h"

namespace eva::cuda {

/// Copies between pageable host memory and the device through a ring of pinned slots: while the device copies
/// one slot, the host fills or reads others. One thread fills slots more slowly than the device copies them,
/// so several threads (lanes) fill large copies, such as a batch of images.
class staging {
 public:
  /// Queues the copy of what `produce` writes: work that is queued later sees it.
  void fill(void* memory, int64_t bytes, const backend::producer& produce, device::stream on);
  /// Queues the copy to `host`, which deliver() completes. Large copies are complete when it returns.
  void read(void* host, const void* memory, int64_t bytes, device::stream on);
  /// Calls wait(), which must return after the queued copies; then their bytes are in their places. One wait
  /// for all results of a program, because each costs a round trip between host and device.
  template <class Wait> void deliver(const Wait& wait) {
    const std::vector<small_read> arriving = std::exchange(small_reads_, {});
    wait();
    for (const small_read& each : arriving)
      if (each.bytes > 0) std::memcpy(each.host, each.pinned, each.bytes);
  }

  /// Frees the pinned memory; the next copy allocates it again. No copy may be in progress.
  void free() {
    slots_.reset();
    results_.reset();
    small_reads_.clear();
  }

  static constexpr int64_t slot_bytes = int64_t(4) << 20;
  /// Of all results of a program that are read with one wait.
  static constexpr int64_t results_bytes = int64_t(1) << 20;

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

  static void fill_part(const upload& all, int64_t part, slot& via);
  /// Fills a lane's two slots alternately, with parts that no other lane has taken.
  void fill_parts(const upload& all, int lane, std::atomic<int64_t>& next_part);
  using ring = std::array<slot, size_t(2 * lanes)>;
  ring& slots() {
    if (!slots_) slots_ = std::make_unique<ring>();
    return *slots_;
  }
  slot& next() { return slots()[size_t(next_slot_++ % int64_t(std::tuple_size_v<ring>))]; }

  struct small_read {
    void* host;
    const std::byte* pinned;
    size_t bytes;
  };
  /// False if it does not fit beside those that are queued.
  bool read_small(void* host, const void* memory, int64_t bytes, device::stream on);
  void read_large(void* host, const void* memory, int64_t bytes, device::stream on);

  std::unique_ptr<device::pinned_buffer> results_;
  std::vector<small_read> small_reads_;
  std::unique_ptr<ring> slots_;
  int64_t next_slot_ = 0;
};

}  // namespace eva::cuda
