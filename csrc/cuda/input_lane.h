#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "cuda/device/runtime.h"
#include "cuda/failure.h"
#include "cuda/staging.h"
#include "runtime/backend.h"

namespace eva::cuda {

/// Copies inputs beside the device's work: in a stream of its own, by way of pinned memory of its own.
class input_lane {
 public:
  /// For the current device, whose work is queued in `compute`.
  explicit input_lane(device::stream compute)
      : index_(device::current_device()), compute_(compute), on_(device::make_stream()) {}
  input_lane(const input_lane&) = delete;
  ~input_lane() { device::destroy(on_); }

  /// A slot that owns `memory`, which is the device's.
  std::unique_ptr<input_slot> slot_of(void* memory, int64_t bytes);

  /// The size of all slots. From any thread.
  int64_t bytes() const { return bytes_; }
  /// Frees the pinned memory; the next copy allocates it again. No copy may be in progress.
  void free() { staging_.free(); }

 private:
  class slot;

  const int index_;
  const device::stream compute_, on_;
  staging staging_;
  std::atomic<int64_t> bytes_ = 0;
};

class input_lane::slot final : public input_slot {
 public:
  slot(input_lane& lane, void* memory, int64_t bytes) : lane_(lane), memory_(memory), bytes_(bytes) {
    lane_.bytes_ += bytes_;
  }
  ~slot() override {
    device::release(memory_);
    lane_.bytes_ -= bytes_;
  }

  void fill(const backend::producer& produce) override {
    translated(
        [&] {
          const device::selected_device here(lane_.index_);
          read_.block(lane_.on_);
          lane_.staging_.fill(memory_, bytes_, produce, lane_.on_);
          filled_.record(lane_.on_);
        },
        "staging an input");
  }

  void copy_to(void* place) override {
    translated(
        [&] {
          filled_.block(lane_.compute_);
          device::copy(place, memory_, size_t(bytes_), lane_.compute_);
          read_.record(lane_.compute_);
        },
        "a staged input");
  }

 private:
  input_lane& lane_;
  void* const memory_;
  const int64_t bytes_;
  device::event filled_, read_;
};

inline std::unique_ptr<input_slot> input_lane::slot_of(void* memory, int64_t bytes) {
  try {
    return std::make_unique<slot>(*this, memory, bytes);
  } catch (...) {
    device::release(memory);
    throw;
  }
}

}  // namespace eva::cuda
