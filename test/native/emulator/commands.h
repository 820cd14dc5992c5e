#pragma once
// The emulated stream: commands run immediately, unless they are being captured.

#include <atomic>
#include <functional>
#include <vector>

namespace eva::emulator {

using command = std::function<void()>;

/// The capture in progress on this thread, if any; it receives the commands instead.
inline thread_local std::vector<command>* recorded = nullptr;

/// Failure injection: the n-th allocation, launch or capture from now on fails; 0: none.
inline std::atomic<int> failing_allocation = 0, failing_launch = 0, failing_capture = 0;

inline bool fails(std::atomic<int>& countdown) { return countdown > 0 && --countdown == 0; }

inline void submit(command work) {
  if (recorded)
    recorded->push_back(std::move(work));
  else
    work();
}

}  // namespace eva::emulator
