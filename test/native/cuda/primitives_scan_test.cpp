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
#include "cuda/device/shared.cuh"

using namespace eva::cuda::device;

namespace {

__global__ void scan_kernel(int* out) {  // [64, 4]
  const uint32_t ballot = warp_ballot(thread_index() % 5 == 2);
  int* mine = out + 4 * thread_index();
  mine[0] = count_lanes(ballot);
  mine[1] = lanes_before(ballot);
  mine[2] = first_lane(ballot);
  mine[3] = int(warp_match(thread_index() % 3));
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

// Blocks of a chain, in the order of a counter: each waits for the one before it, and adds 1 to what that
// wrote. words: the counter, the number of blocks that have ended, and [blocks] flags.
__global__ void chain_kernel(uint32_t* words, int* values) {  // [blocks + 1]
  const auto mine = shared_at<uint32_t>(0);
  if (thread_index() == 0) {
    const uint32_t place = atomic_add(words, 1);
    mine.store(0, place);
    if (place > 0) wait_for(words + 2 + place - 1);
  }
  block_barrier();
  const auto place = int(mine.load(0));
  if (thread_index() == 17) values[place + 1] = values[place] + 1;
  block_barrier();
  if (thread_index() != 0) return;
  publish(words + 2 + place);
  const bool is_last = int(arrive(words + 1)) + 1 == grid_blocks();
  if (is_last) values[0] = values[grid_blocks()];
}

}  // namespace

int main() {
  vector<int> words(64 * 4);
  launch(scan_kernel, 2, 64, 0, {}, words.data());
  vector<float> operands(64), results(128);
  for (int i = 0; i < 64; ++i)
    operands[size_t(i)] = std::sin(float(i + 1)) * std::exp2(float(i % 7 * 4 - 12));
  launch(exact_kernel, 1, 32, 0, {}, operands.data(), results.data());
  vector<uint64_t> shared_words{7, ~uint64_t(0)};
  vector<int> replaced(128);
  launch(atomic_kernel, 2, 64, 0, {}, shared_words.data(), replaced.data());
  constexpr int chain = 40;
  vector<uint32_t> chain_words(chain + 2);
  vector<int> chain_values(chain + 1);
  launch(chain_kernel, chain, 64, 4, {}, chain_words.data(), chain_values.data());
  synchronize({});
  int failures = chain_values[0] != chain || chain_words[0] != chain || chain_words[1] != chain;
  const auto winner = std::find(replaced.begin(), replaced.end(), 1) - replaced.begin();
  failures += std::count(replaced.begin(), replaced.end(), 1) != 1 ||
              shared_words[0] != (uint64_t(1) << 40 | uint64_t(winner)) ||
              shared_words[1] != uint64_t(1) << 40;
  for (int i = 0; i < 64; ++i) {
    uint32_t ballot = 0;
    for (int lane = 0; lane < 32; ++lane) ballot |= uint32_t((i / 32 * 32 + lane) % 5 == 2) << lane;
    const int* mine = &words[size_t(4 * i)];
    uint32_t equal = 0;
    for (int lane = 0; lane < 32; ++lane) equal |= uint32_t((i / 32 * 32 + lane) % 3 == i % 3) << lane;
    failures += uint32_t(mine[3]) != equal;
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
