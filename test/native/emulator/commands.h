#pragma once
// A stream: commands are carried out as they come, unless they are being recorded.

#include <functional>
#include <vector>

namespace eva::emulator {

using command = std::function<void()>;

/// Where commands go instead, while somebody records them.
inline thread_local std::vector<command>* recorded = nullptr;

inline void submit(command work) {
  if (recorded)
    recorded->push_back(std::move(work));
  else
    work();
}

}  // namespace eva::emulator
