#pragma once

#include <cstdint>
#include <memory>

#include "cuda/device/memory.h"

namespace eva::cuda {

namespace device {
class pinned_buffer;
}

/// The valid range of the integers of an op's input: 0 … count - 1; or, with `longest`, starts of sequences,
/// which ascend from 0 to at most `count` in steps of at most `longest`.
struct index_rule {
  const char* field = nullptr;  // host memory
  int64_t count = 0, longest = 0;
};

/// The first integer that broke a rule, in device memory. Of the first application of an op that found one,
/// it is the first in the order of rules and then of places, whatever the order of threads.
struct index_fault {
  uint64_t owner = 0;             // identifies that application; 0: no fault
  uint64_t first = ~uint64_t(0);  // 2 bits: the rule's number; 30: the place; 32: the integer
  const char* op = nullptr;       // host memory
  index_rule rules[2];
};

/// Error slot in device memory: kernels, which cannot throw, record the first out-of-range index; the host
/// reads it back with the program's outputs, without another synchronization.
class index_faults {
 public:
  index_faults();

  index_fault* memory() const { return static_cast<index_fault*>(memory_.data()); }

  /// Queues the copy of the slot to the host.
  void fetch(device::stream on);
  /// After the stream was synchronized: if a fault was fetched, clears the slot and throws data_error.
  void check(device::stream on);

 private:
  void clear(device::stream on);

  device::buffer memory_{sizeof(index_fault)};
  std::shared_ptr<device::pinned_buffer> fetched_;
};

}  // namespace eva::cuda
