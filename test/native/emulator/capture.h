#pragma once
// Captured graphs of the emulated device.

#include <cstddef>
#include <memory>
#include <vector>

#include "cuda_runtime_api.h"
#include "stream.h"

namespace eva::emulator {

/// Commands, and for each the earlier ones that must run before it.
struct graph {
  struct node {
    command work;
    std::vector<size_t> after;
  };
  std::vector<node> nodes{};

  /// Queues all commands in one of the orders that their dependencies allow.
  void launch(queue& on) const;
};

/// A capture in progress.
struct capture : graph {
  queue* origin = nullptr;
  std::vector<std::shared_ptr<queue>> joined{};
  bool is_valid = true;  // until a call that a capture does not allow

  /// Returns the new node.
  size_t add(command work, const std::vector<size_t>& after);
  /// Whether the origin follows the work of every stream that has joined.
  bool is_joined() const;
};

cudaError_t begin_capture(queue& on);
/// Ends the capture in any case; the graph is null on failure.
cudaError_t end_capture(queue& on, std::unique_ptr<graph>& made);
/// Drops the captured work of a capture that `end_capture` will not see.
void abandon_capture(queue& on);

/// The error of a call that is not allowed while the calling thread captures, which then fails as a whole.
cudaError_t refused_by_capture();

/// cudaEventRecord and cudaStreamWaitEvent.
void record(event& at, queue& on);
cudaError_t wait_for(const event& at, queue& on);

}  // namespace eva::emulator
