#pragma once

#include "cuda/device/runtime.h"
#include "cuda/failure.h"
#include "runtime/backend.h"

namespace eva::cuda {

/// Makes one lane wait for another.
class lane_wait final : public kernel {
 public:
  lane_wait(device::stream waiting, device::stream awaited) : waiting_(waiting), awaited_(awaited) {}

  void run() override {
    translated([&] {
      reached_.record(awaited_);
      reached_.block(waiting_);
    });
  }

 private:
  device::stream waiting_, awaited_;
  device::event reached_;
};

}  // namespace eva::cuda
