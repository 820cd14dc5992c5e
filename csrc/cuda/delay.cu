#include "cuda/delay.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda {
namespace {

constexpr int64_t nanoseconds = 100'000;

// Expected bound: none; one thread waits.
__global__ void __launch_bounds__(32) delay_kernel() {
  if (device::thread_index() != 0) return;
  const int64_t start = device::clock_nanoseconds();
  while (device::clock_nanoseconds() - start < nanoseconds) {
  }
}

}  // namespace

void delay(device::stream on) { device::launch(delay_kernel, 1, 32, 0, on); }

}  // namespace eva::cuda
