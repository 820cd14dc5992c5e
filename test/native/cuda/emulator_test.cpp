// The emulator reports each kind of undefined behavior.

#include <cstdio>
#include <cstring>

#include "cuda/device/copy.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/device/reduce.cuh"
#include "watched_memory.h"

using namespace eva::cuda::device;

namespace {

int failures = 0;

// Accesses of a kernel's code; this file is compiled as the kernels are.
__attribute__((noinline)) int watched_load(const int* from) { return *const_cast<const volatile int*>(from); }
__attribute__((noinline)) void watched_store(int* to, int value) { *to = value; }
__attribute__((noinline)) void watched_add(int* to, int value) { *to += value; }

void expect(const char* what, const char* message, const std::function<void()>& kernel) {
  std::string said = "nothing";
  try {
    eva::emulator::run_grid(2, 64, 256, kernel);
  } catch (const eva::emulator::error& e) {
    said = e.what();
  }
  const bool good = said.find(message) != std::string::npos;
  failures += !good;
  std::printf("%s %s: %s\n", good ? "ok    " : "FAILED", what, said.c_str());
}

}  // namespace

int main() {
  eva::emulator::print_stack_traces = false;
  const auto words = [] { return shared_at<float>(0); };
  alignas(16) static float source[4] = {1, 2, 3, 4};

  expect("shuffle, ballot, sums", "nothing", [] {
    if (shuffle_xor(lane_index(), 5) != (lane_index() ^ 5)) std::abort();
    if (warp_ballot(lane_index() % 3 == 0) != 0x49249249u) std::abort();
    if (warp_sum(1) != 32 || quad_max(float(lane_index())) != (lane_index() | 3)) std::abort();
    if (block_sum(float(thread_index()), shared_at<float>(0)) != 63 * 32) std::abort();
  });
  expect("barrier in one warp only", "deadlock", [] {
    if (warp_index() == 0) block_barrier();
  });
  expect("two different barriers", "different barriers", [] {
    if (warp_index() == 0)
      block_barrier();
    else
      block_barrier();
  });
  expect("shuffle in half a warp", "deadlock", [] {
    if (lane_index() < 16) shuffle_xor(1, 1);
  });
  expect("shuffles at different lines", "different barriers", [] {
    if (lane_index() < 16)
      shuffle_xor(1, 1);
    else
      shuffle_xor(1, 1);
  });
  expect("out of bounds", "out of bounds", [=] { words().store(thread_index() + 1, 0); });
  expect("never written", "uninitialized", [=] { words().load(thread_index()); });
  expect("misaligned", "misaligned", [] { shared_at<float>(2).store(0, 0); });
  expect("write, read, no barrier", "race", [=] {
    words().store(thread_index(), 0);
    block_barrier();
    words().store(thread_index(), 1);
    words().load((thread_index() + 32) % 64);
  });
  expect("write, read, warp barrier for another warp's word", "race", [=] {
    words().store(thread_index(), 0);
    block_barrier();
    words().store(thread_index(), 1);
    warp_barrier();
    words().load((thread_index() + 32) % 64);
  });
  expect("read, write, no barrier", "race", [=] {
    words().store(thread_index(), 1);
    block_barrier();
    words().load(thread_index() ^ 1);
    words().store(thread_index(), 2);
  });
  expect("neighbor within the warp after a warp barrier", "nothing", [=] {
    words().store(thread_index(), 1);
    warp_barrier();
    words().load(thread_index() ^ 1);
    warp_barrier();
    words().store(thread_index(), 2);
  });
  expect("copy not waited for", "has waited for its copy", [=] {
    if (thread_index() == 0) copy_async_16(words(), 0, source, true);
    copy_commit();
    block_barrier();
    words().load(0);
  });
  expect("copy never waited for", "without waiting", [=] {
    if (thread_index() == 0) copy_async_16(words(), 0, source, true);
  });
  expect("copy waited for, no barrier", "race", [=] {
    if (thread_index() == 0) copy_async_16(words(), 0, source, true);
    copy_commit();
    copy_wait<0>();
    words().load(0);
  });
  expect("copies in groups", "nothing", [=] {
    if (thread_index() == 0) copy_async_16(words(), 0, source, true);
    copy_commit();
    if (thread_index() == 0) copy_async_16(words(), 4, source, true);
    copy_commit();
    copy_wait<1>();
    block_barrier();
    if (words().load(3) != 4) std::abort();
    copy_wait<0>();
  });
  std::vector<int> global(256, 1);
  int* const memory = global.data();
  const auto expect_global = [&](const char* what, const char* message, bool initialized,
                                 const std::function<void()>& kernel) {
    eva::emulator::watch(memory, global.size() * sizeof(int), sizeof(int), initialized);
    expect(what, message, kernel);
    eva::emulator::end_watch();
  };
  expect_global("uninitialized global memory", "uninitialized", false,
                [=] { watched_store(memory + 1, watched_load(memory)); });
  expect_global("blocks write their own words", "nothing", false, [=] {
    watched_store(memory + block_index(), 1);
    watched_load(memory + block_index());
  });
  expect_global("blocks write the same word", "wrote", false, [=] { watched_store(memory, 1); });
  expect_global("a block reads what another wrote", "wrote", true, [=] {
    if (block_index() == 0) watched_store(memory, 1);
    if (block_index() == 1) watched_load(memory);
  });
  expect_global("a block writes what another read", "read", true, [=] {
    if (block_index() == 0) watched_load(memory);
    if (block_index() == 1) watched_store(memory, 1);
  });
  expect_global("blocks add to the same word", "wrote", true, [=] {
    if (thread_index() == 0) watched_add(memory, 1);
  });
  return failures != 0;
}
