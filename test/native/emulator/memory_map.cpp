#include "memory_map.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace eva::emulator {
namespace {

struct allocation {
  size_t bytes;
  memory_kind kind;
};

std::mutex mutex;
std::map<uintptr_t, allocation> all;  // by address
int64_t used = 0;

bool belongs(const void* from, size_t bytes, memory_kind kind) {
  const auto begin = reinterpret_cast<uintptr_t>(from);
  const std::lock_guard lock(mutex);
  auto found = all.upper_bound(begin);
  if (found == all.begin()) return false;
  const auto& [start, in] = *--found;
  return begin + bytes <= start + in.bytes && (in.kind == kind || in.kind == memory_kind::managed);
}

}  // namespace

void* allocate(memory_kind kind, size_t bytes) {
  const bool counts = kind != memory_kind::pinned;
  {
    const std::lock_guard lock(mutex);
    if (counts && int64_t(bytes) > device_bytes - used) return nullptr;
  }
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes) != 0) return nullptr;
  std::memset(memory, 0xff, bytes);  // NaN in bf16 and in f32
  const std::lock_guard lock(mutex);
  all[reinterpret_cast<uintptr_t>(memory)] = {bytes, kind};
  if (counts) used += int64_t(bytes);
  return memory;
}

void free_allocation(void* memory) {
  {
    const std::lock_guard lock(mutex);
    const auto found = all.find(reinterpret_cast<uintptr_t>(memory));
    if (found == all.end()) return;
    if (found->second.kind != memory_kind::pinned) used -= int64_t(found->second.bytes);
    all.erase(found);
  }
  std::free(memory);
}

int64_t free_device_bytes() {
  const std::lock_guard lock(mutex);
  return device_bytes - used;
}

void reserve_device_bytes(int64_t bytes) {
  const std::lock_guard lock(mutex);
  used += bytes;
}

bool is_on_device(const void* from, size_t bytes) { return belongs(from, bytes, memory_kind::device); }
bool is_pinned(const void* from, size_t bytes) { return belongs(from, bytes, memory_kind::pinned); }

}  // namespace eva::emulator
