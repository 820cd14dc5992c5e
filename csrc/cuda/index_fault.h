#pragma once

#include <cstdint>
#include <memory>

#include "cuda/device/memory.cuh"

namespace eva::cuda {

namespace device {
class pinned_buffer;
}

/// What the integers of an op's input must be: 0 … count - 1; or, with `longest`, starts of sequences, which
/// ascend from 0 to at most `count` by at most `longest`.
struct index_rule {
  const char* field = nullptr;  // the host's
  int64_t count = 0, longest = 0;
};

/// The first integer that broke a rule, in device memory: of the first application of an op that found one,
/// the first in the order of its rules and then of places, whatever the order of threads.
struct index_fault {
  uint64_t owner = 0;             // that application; 0 for none
  uint64_t first = ~uint64_t(0);  // 2 bits of the rule's number, 30 of the place, 32 of the integer
  const char* op = nullptr;       // the host's
  index_rule rules[2];
};

/// Device memory where kernels record such an integer, since they cannot throw. The host reads it together
/// with a program's results, without a synchronization of its own.
class index_faults {
 public:
  index_faults();

  index_fault* memory() const { return static_cast<index_fault*>(memory_.data()); }

  /// Queues the copy to the host.
  void fetch(device::stream on);
  /// After the stream has been synchronized: throws data_error for what was fetched, and clears it on the
  /// host and the device.
  void check(device::stream on);

 private:
  void clear(device::stream on);

  device::buffer memory_{sizeof(index_fault)};
  std::shared_ptr<device::pinned_buffer> fetched_;
};

}  // namespace eva::cuda
