// Filling CPU memory with several threads, and an exception in one of them.
#include "runtime/backend.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "cpu/dispatch/backend.h"

namespace eva::test {
namespace {

std::byte value_at(int64_t at) { return std::byte(at * 7 + at / 4096); }

void every_byte_is_filled_once() {
  const auto on = cpu::open(3, "");
  for (const int64_t bytes : {int64_t(0), int64_t(1), int64_t(1) << 20, (int64_t(70) << 20) + 13}) {
    auto* memory = static_cast<std::byte*>(on->allocate(bytes));
    std::atomic<int64_t> filled = 0;
    std::atomic<bool> sound = true;
    on->fill(memory, bytes, [&](int64_t begin, int64_t end, std::byte* to) {
      if (begin % 64 != 0 || end <= begin || to != memory + begin) sound = false;
      for (int64_t at = begin; at < end; ++at) to[at - begin] = value_at(at);
      filled += end - begin;
    });
    for (int64_t at = 0; at < bytes; ++at) sound = sound && memory[at] == value_at(at);
    check(sound && filled == bytes, std::to_string(bytes) + " bytes");
    on->release(memory, bytes);
  }
}

void several_threads_fill() {
  constexpr int64_t bytes = int64_t(64) << 20;
  const auto on = cpu::open(2, "");
  void* memory = on->allocate(bytes);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  on->fill(memory, bytes, [&](int64_t, int64_t, std::byte*) {
    const auto here = [&] {
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
      return threads.size();
    };
    // The first thread waits for the other, so that it cannot do all the work.
    for (int turn = 0; turn < 5000 && here() < 2; ++turn)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  check(threads.size() == 2, std::to_string(threads.size()) + " threads filled, of two");
  on->release(memory, bytes);
}

void what_a_part_throws_arrives() {
  constexpr int64_t bytes = int64_t(64) << 20;
  const auto on = cpu::open(2, "");
  void* memory = on->allocate(bytes);
  try {
    on->fill(memory, bytes, [](int64_t begin, int64_t, std::byte*) {
      if (begin > bytes / 2) throw argument_error("in the second half");
    });
    check(false, "an error was lost");
  } catch (const argument_error& e) {
    check(std::string(e.what()) == "in the second half", e.what());
  }
  on->release(memory, bytes);
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  every_byte_is_filled_once();
  several_threads_fill();
  what_a_part_throws_arrives();
  return status();
}
