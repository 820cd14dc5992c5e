#include "cpu/dispatch/workspace.h"

#include <cstdint>
#include <vector>

namespace eva::cpu {

std::byte* workspace(size_t bytes) {
  thread_local std::vector<std::byte> memory;
  constexpr size_t alignment = 64;
  if (memory.size() < bytes + alignment) memory = std::vector<std::byte>(bytes + alignment);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return memory.data() + (alignment - address % alignment) % alignment;
}

}  // namespace eva::cpu
