#include "launch.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "block.h"
#include "failures.h"
#include "stream.h"

extern "C" {
// The addresses of the bytes before kernels in which the macro __launch_bounds__ (cuda/device/thread.cuh)
// states the bound: one for each warp. Present only if there are such kernels.
extern __attribute__((weak, visibility("hidden"))) const uintptr_t __start___patchable_function_entries[];
extern __attribute__((weak, visibility("hidden"))) const uintptr_t __stop___patchable_function_entries[];
}

namespace eva::emulator {
namespace {

constexpr int most_warps = 32;

void check(const launch_configuration& how) {
  const auto number = [](int n) { return std::to_string(n); };
  if (how.grid_blocks < 0) throw error("a grid of " + number(how.grid_blocks) + " blocks");
  if (how.block_threads <= 0 || how.block_threads > most_warps * warp_size)
    throw error("a block of " + number(how.block_threads) + " threads");
  if (how.max_threads && how.block_threads > how.max_threads)
    throw error("a block of " + number(how.block_threads) + " threads of a kernel whose launch bound is " +
                number(how.max_threads));
  if (how.shared_bytes > shared_bytes_per_block())
    throw error(number(how.shared_bytes) + " bytes of shared memory, of which a block has at most " +
                number(shared_bytes_per_block()));
}

}  // namespace

cudaError_t launch(cudaStream_t on, const launch_configuration& how, std::function<void()> kernel) {
  const std::lock_guard lock(device_lock);
  check(how);
  if (enter("launch") == cudaSuccess)
    queue_of(on).append([how, kernel = std::move(kernel)] {
      run_grid(how.grid_blocks, how.block_threads, size_t(how.shared_bytes), kernel);
    });
  return take_last_error();
}

int max_threads_of(const void* kernel) {
  static const std::vector<uintptr_t> bounds = [] {
    std::vector<uintptr_t> all(__start___patchable_function_entries, __stop___patchable_function_entries);
    std::sort(all.begin(), all.end());
    return all;
  }();
  const auto entry = reinterpret_cast<uintptr_t>(kernel);
  const auto after = std::upper_bound(bounds.begin(), bounds.end(), entry);
  if (after == bounds.begin() || entry - *(after - 1) > most_warps) return 0;
  return int(entry - *(after - 1)) * warp_size;
}

int shared_bytes_per_block() {
  static const int bytes = [] {
    const char* given = std::getenv("EVA_CLIP_EMULATOR_SHARED_KB");
    return (given ? std::atoi(given) : 99) * 1024;
  }();
  return bytes;
}

}  // namespace eva::emulator
