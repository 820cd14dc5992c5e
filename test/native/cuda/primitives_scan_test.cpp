// The device primitives of scan.cuh, exact.cuh and atomic.cuh against their definitions; primitives_test
// covers the others.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "cuda/device/atomic.cuh"
#include "cuda/device/exact.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/scan.cuh"

using namespace eva::cuda::device;

namespace {

__global__ void scan_kernel(int* out) {  // [64, 3]
  const uint32_t ballot = warp_ballot(thread_index() % 5 == 2);
  int* mine = out + 3 * thread_index();
  mine[0] = count_lanes(ballot);
  mine[1] = lanes_before(ballot);
  mine[2] = first_lane(ballot);
}

__global__ void exact_kernel(const float* in, float* out) {  // [32, 2] → [32, 4]
  const float a = in[2 * thread_index()], b = in[2 * thread_index() + 1];
  float* mine = out + 4 * thread_index();
  mine[0] = rounded_product(a, b);
  mine[1] = product_error(a, b, mine[0]);
  mine[2] = exact_sum(a, b, mine[3]);
}

// One of all threads replaces the first word and marks itself; all take the minimum of the second.
__global__ void atomic_kernel(uint64_t* words, int* replaced) {  // [2], [128]
  const int thread = 64 * block_index() + thread_index();
  replaced[thread] = atomic_cas(words, 7, uint64_t(1) << 40 | uint64_t(thread)) == 7;
  atomic_min(words + 1, uint64_t(1) << 40 | uint64_t(thread ^ 77));
}

}  // namespace

int main() {
  vector<int> words(64 * 3);
  launch(scan_kernel, 2, 64, 0, {}, words.data());
  vector<float> operands(64), results(128);
  for (int i = 0; i < 64; ++i)
    operands[size_t(i)] = std::sin(float(i + 1)) * std::exp2(float(i % 7 * 4 - 12));
  launch(exact_kernel, 1, 32, 0, {}, operands.data(), results.data());
  vector<uint64_t> shared_words{7, ~uint64_t(0)};
  vector<int> replaced(128);
  launch(atomic_kernel, 2, 64, 0, {}, shared_words.data(), replaced.data());
  synchronize({});
  int failures = 0;
  const auto winner = std::find(replaced.begin(), replaced.end(), 1) - replaced.begin();
  failures += std::count(replaced.begin(), replaced.end(), 1) != 1 ||
              shared_words[0] != (uint64_t(1) << 40 | uint64_t(winner)) ||
              shared_words[1] != uint64_t(1) << 40;
  for (int i = 0; i < 64; ++i) {
    uint32_t ballot = 0;
    for (int lane = 0; lane < 32; ++lane) ballot |= uint32_t((i / 32 * 32 + lane) % 5 == 2) << lane;
    const int* mine = &words[size_t(3 * i)];
    failures += mine[0] != std::popcount(ballot) || mine[2] != std::countr_zero(ballot) ||
                mine[1] != std::popcount(ballot & ((1u << i % 32) - 1));
  }
  // In f64, products and sums of two floats with such exponents are exact.
  for (size_t i = 0; i < 32; ++i) {
    const double a = double(operands[2 * i]), b = double(operands[2 * i + 1]);
    failures += double(results[4 * i]) + double(results[4 * i + 1]) != a * b ||
                double(results[4 * i + 2]) + double(results[4 * i + 3]) != a + b;
  }
  std::printf("%d values differ\n", failures);
  return failures != 0;
}
