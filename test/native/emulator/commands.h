#pragma once
// A stream: commands are carried out as they come, unless they are being recorded.

#include <atomic>
#include <functional>
#include <vector>

namespace eva::emulator {

using command = std::function<void()>;

/// Where commands go instead, while somebody records them.
inline thread_local std::vector<command>* recorded = nullptr;

/// Which allocation, launch and capture fails, counted from now on; 0: none.
inline std::atomic<int> failing_allocation = 0, failing_launch = 0, failing_capture = 0;

inline bool fails(std::atomic<int>& countdown) { return countdown > 0 && --countdown == 0; }

inline void submit(command work) {
  if (recorded)
    recorded->push_back(std::move(work));
  else
    work();
}

}  // namespace eva::emulator
