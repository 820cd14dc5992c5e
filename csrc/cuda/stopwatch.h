#pragma once

#include "cuda/delay.h"
#include "cuda/device/runtime.h"

namespace eva::cuda {

/// Times work on a stream between two events.
class stopwatch {
 public:
  /// Seconds per call of `run`, which queues work.
  template <class Run> double seconds(device::stream on, int repetitions, const Run& run) {
    delay(on);
    before_.record(on);
    for (int i = 0; i < repetitions; ++i) run();
    after_.record(on);
    after_.wait();
    return after_.seconds_since(before_) / repetitions;
  }

 private:
  device::event before_{true}, after_{true};
};

}  // namespace eva::cuda
