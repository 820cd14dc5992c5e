#include "cpu/dispatch/page_allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "cpu/dispatch/available_memory.h"

namespace eva::cpu {
namespace {

/// Headroom for the rest of the process and for page tables.
constexpr int64_t reserve = int64_t(64) << 20;
/// Bytes allocated between two checks: reading the limits takes a fraction of a millisecond, too long for
/// every small tensor.
constexpr int64_t check_interval = int64_t(64) << 20;

struct account {
  std::mutex mutex;
  std::map<std::byte*, int64_t> blocks;  // whole pages
  int64_t held = 0;                      // their sum
  int64_t unchecked = 0;                 // allocated since the last check
};

/// Never destroyed: threads may release memory while the process exits.
account& all() {
  static auto* only = new account;
  return *only;
}

int64_t page_bytes() {
  static const int64_t bytes = sysconf(_SC_PAGESIZE);
  return bytes;
}

int64_t whole_pages(int64_t bytes) {
  constexpr int64_t beyond_any_machine = int64_t(1) << 62;
  const int64_t page = page_bytes();
  return std::max(page, (std::min(bytes, beyond_any_machine) + page - 1) / page * page);
}

int64_t untouched_in(std::byte* memory, int64_t bytes) {
  constexpr int64_t window = int64_t(1) << 20;  // pages at a time
  std::vector<unsigned char> resident;
  int64_t untouched = 0;
  for (int64_t at = 0; at < bytes; at += window * page_bytes()) {
    const int64_t part = std::min(bytes - at, window * page_bytes());
    resident.resize(size_t(part / page_bytes()));
    if (mincore(memory + at, size_t(part), resident.data()) != 0) return bytes;
    untouched +=
        page_bytes() * std::count_if(resident.begin(), resident.end(), [](auto r) { return (r & 1) == 0; });
  }
  return untouched;
}

int64_t untouched(const account& a) {
  int64_t bytes = 0;
  for (const auto& [memory, size] : a.blocks) bytes += untouched_in(memory, size);
  return bytes;
}

[[noreturn]] void fail(int64_t bytes, int64_t free) {
  const std::string needed = std::to_string(bytes), left = std::to_string(free);
  throw out_of_memory_error("out of memory: " + needed + " bytes are needed, " + left + " are free",
                            {{"needed", needed}, {"free", left}});
}

/// Bytes that can be allocated; exact only if fewer than `bytes`, because counting untouched pages is slow.
int64_t free_for(int64_t bytes, const account& a) {
  const available_memory now = available();
  const int64_t physical = std::max<int64_t>(0, now.physical - reserve);
  const auto free = [&](int64_t untouched_bytes) {
    return std::min(now.address_space, std::max<int64_t>(0, physical - untouched_bytes));
  };
  const int64_t least = free(a.held);
  return least >= bytes ? least : free(untouched(a));
}

void check(int64_t bytes, account& a) {
  if (const int64_t free = free_for(bytes, a); free < bytes) fail(bytes, free);
  a.unchecked = 0;
}

}  // namespace

void expect_free(int64_t bytes) {
  if (bytes < check_interval) return;
  const std::lock_guard lock(all().mutex);
  check(bytes, all());
}

void* allocate_pages(int64_t bytes) {
  account& a = all();
  const int64_t size = whole_pages(bytes);
  const std::lock_guard lock(a.mutex);
  a.unchecked += size;
  if (a.unchecked >= check_interval) check(size, a);
  void* memory = mmap(nullptr, size_t(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail(size, std::min(size - 1, free_for(size, a)));
  madvise(memory, size_t(size), MADV_HUGEPAGE);
  try {
    a.blocks.emplace(static_cast<std::byte*>(memory), size);
  } catch (...) {
    munmap(memory, size_t(size));
    throw;
  }
  a.held += size;
  return memory;
}

void release_pages(void* memory, int64_t bytes) noexcept {
  account& a = all();
  const int64_t size = whole_pages(bytes);
  const std::lock_guard lock(a.mutex);
  a.blocks.erase(static_cast<std::byte*>(memory));
  a.held -= size;
  munmap(memory, size_t(size));
}

}  // namespace eva::cpu
