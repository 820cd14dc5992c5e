#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/device/memory.h"
#include "cuda/index_fault.h"

namespace eva::cuda {

/// Temporary device memory of a kernel, valid while it runs. The kernels of a stream run one after another,
/// so all share it. It grows when a kernel first runs, which must not be during a capture. Earlier blocks are
/// kept, because captured programs hold their addresses.
class workspace {
 public:
  /// At least `count` elements, aligned to 256 bytes; the next kernel may get the same ones.
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

  /// The size of all blocks.
  int64_t bytes() const { return all_bytes_; }

 private:
  std::vector<device::buffer> blocks_;
  int64_t bytes_ = 0;  // of the last block
  int64_t all_bytes_ = 0;
};

class blas_library;

/// The device's stream, properties and workspaces, as kernels use them.
struct context {
  device::stream stream{};
  device::properties properties{};
  workspace scratch{};
  workspace gemm_workspace{};  // separate, because ops run GEMMs while they use `scratch`
  index_faults faults{};
  std::shared_ptr<blas_library> blas{};  // opened by the backend or by the first GEMM
  bool synchronous = false;              // waits for every op, so that an error names the op that caused it

  int64_t workspace_bytes() const { return scratch.bytes() + gemm_workspace.bytes(); }
};

}  // namespace eva::cuda
