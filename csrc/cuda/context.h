#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/device/memory.cuh"
#include "cuda/index_fault.h"

namespace eva::cuda {

/// Device memory for a kernel's own use while it runs. The kernels of a stream run one after another, so all
/// of them share it. It grows when a kernel runs for the first time, which must not be inside a capture; what
/// it had before stays, because captured programs hold its address.
class workspace {
 public:
  /// At least `count` elements, 256-byte aligned; the next kernel may be handed the same ones.
  template <class T> T* take(int64_t count) {
    const int64_t bytes = count * int64_t(sizeof(T));
    if (bytes > bytes_) {
      const int64_t larger = std::max(bytes, 2 * bytes_);
      blocks_.emplace_back(size_t(larger));
      bytes_ = larger;
      all_bytes_ += larger;
    }
    return static_cast<T*>(blocks_.empty() ? nullptr : blocks_.back().data());
  }

  void free() {
    blocks_.clear();
    bytes_ = all_bytes_ = 0;
  }

  /// Of all the memory that it holds.
  int64_t bytes() const { return all_bytes_; }

 private:
  std::vector<device::buffer> blocks_;
  int64_t bytes_ = 0;  // of the last block
  int64_t all_bytes_ = 0;
};

class matrix_library;

/// What a kernel knows of the device it runs on.
struct context {
  device::stream stream{};
  device::properties properties{};
  workspace scratch{};
  workspace product_scratch{};  // of matrix products, which a kernel may run between uses of its own
  index_faults faults{};
  std::shared_ptr<matrix_library> products{};  // opened by the backend, or by the first matrix product
  bool synchronous = false;  // waits for every op, so that an error names the op that it came from
};

}  // namespace eva::cuda
