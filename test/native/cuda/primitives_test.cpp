// Every device primitive against its definition. Passing both emulated and on a GPU shows that the host
// implementations match the device's.

#include <bit>
#include <cmath>
#include <cstdio>
#include <random>

#include "cuda/device/copy.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/device/philox.cuh"
#include "cuda/device/reduce.cuh"

using namespace eva::cuda::device;

namespace {

int failures = 0;

void check(const char* what, double error, double tolerance) {
  const bool good = error <= tolerance;
  failures += !good;
  std::printf("%s %s %.1e\n", good ? "ok    " : "FAILED", what, error);
}

vector<bf16> random_bf16(size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  vector<bf16> x(count);
  for (auto& each : x) each = to_bf16(normal(engine));
  return x;
}

// The largest |actual - expected|, relative to the root mean square of expected; infinite if there is a NaN.
double error_of(const vector<float>& actual, const std::vector<double>& expected) {
  double worst = 0, squares = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::fabs(double(actual[i]) - expected[i]);
    if (std::isnan(difference)) return INFINITY;
    worst = std::fmax(worst, difference);
    squares += expected[i] * expected[i];
  }
  return worst / std::sqrt(squares / double(actual.size()));
}

__global__ void thread_kernel(int* out) {  // [64, 5]
  int* mine = out + 5 * thread_index();
  mine[0] = shuffle_xor(thread_index(), 5);
  mine[1] = int(warp_ballot(thread_index() % 3 == 0));
  mine[2] = int(warp_sum(float(thread_index())));
  mine[3] = int(block_sum(float(thread_index()), shared_at<float>(0)));
  mine[4] = shuffle(thread_index(), lane_index() / 2);
}

// c [16, 8] = a [16, 16] b with both ways of loading b: from bᵀ [8, 16], and transposed from b [16, 8].
__global__ void mma_kernel(const bf16* a, const bf16* b_rows, const bf16* b_columns, float* c) {
  const auto shared_a = shared_at<bf16>(0), shared_rows = shared_at<bf16>(512),
             shared_columns = shared_at<bf16>(768);
  const int lane = lane_index();
  copy_async_16(shared_a, 8 * lane, a + 8 * lane, true);
  copy_commit();
  if (lane < 16) copy_async_16(shared_rows, 8 * lane, b_rows + 8 * lane, true);
  copy_commit();
  copy_wait<0>();
  if (lane < 16) shared_columns.as<vector16>().store(lane, load_16_once(b_columns + 8 * lane));
  block_barrier();
  const fragment a_fragment = ldmatrix_x4(shared_a, lane % 16 * 16 + lane / 16 * 8);
  const fragment stored = ldmatrix_x4(shared_columns, lane % 8 * 16 + lane / 8 % 2 * 8);
  const fragment transposed = ldmatrix_x4_transposed(shared_rows, lane % 16 * 8);
  float one[4] = {}, two[4] = {};
  mma_m16n8k16(one, a_fragment, stored.words[0], stored.words[1]);
  mma_m16n8k16(two, a_fragment, transposed.words[0], transposed.words[1]);
  for (int i = 0; i < 4; ++i) {
    const int at = (lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2;
    c[at] = one[i];
    c[128 + at] = two[i];
  }
}

__global__ void arithmetic_kernel(float* out) {
  const float x = 0.37f * (thread_index() + 1);
  float* mine = out + 5 * thread_index();
  mine[0] = exp2_fast(-x);
  mine[1] = log2_fast(x);
  mine[2] = rsqrt_fast(x);
  const pair back = unpack_bf16(pack_bf16(x, -x));
  mine[3] = back.first - back.second;
  mine[4] = reciprocal_fast(x);
}

__global__ void constant_kernel(const int* integer, const float* floats, float* out) {  // [7]
  const pair two = load_constant_8(floats);
  const vector16 four = load_constant_16(floats + 4);
  out[0] = float(load_constant(integer));
  out[1] = two.first;
  out[2] = two.second;
  for (int i = 0; i < 4; ++i) out[3 + i] = std::bit_cast<float>(four.words[i]);
}

__global__ void philox_kernel(vector16* out) {
  const uint32_t word = thread_index() == 0 ? 0 : 0xffffffffu;
  if (thread_index() < 2) out[thread_index()] = philox({{word, word, word, word}}, word, word);
}

}  // namespace

int main() {
  vector<int> words(64 * 5);
  launch(thread_kernel, 1, 64, 256, {}, words.data());
  synchronize({});
  int wrong = 0;
  for (int i = 0; i < 64; ++i) {
    const int* mine = &words[size_t(5 * i)];
    wrong += mine[0] != (i ^ 5) || uint32_t(mine[1]) != (i < 32 ? 0x49249249u : 0x92492492u) ||
             mine[2] != (i < 32 ? 496 : 1520) || mine[3] != 2016 || mine[4] != i / 32 * 32 + i % 32 / 2;
  }
  check("thread", wrong, 0);

  const auto a = random_bf16(256, 1), b = random_bf16(128, 2);
  vector<bf16> b_columns(128);
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < 8; ++n) b_columns[n * 16 + k] = b[k * 8 + n];
  vector<float> c(256);
  launch(mma_kernel, 1, 32, 1024, {}, a.data(), b.data(), b_columns.data(), c.data());
  synchronize({});
  std::vector<double> expected(256);
  for (int i = 0; i < 256; ++i)
    for (int k = 0; k < 16; ++k)
      expected[i] += to_float(a[i % 128 / 8 * 16 + k]) * to_float(b[k * 8 + i % 8]);
  check("mma", error_of(c, expected), 1e-5);

  vector<float> values(64 * 5);
  launch(arithmetic_kernel, 1, 64, 0, {}, values.data());
  synchronize({});
  std::vector<double> exact;
  for (int i = 0; i < 64; ++i) {
    const float x = 0.37f * (i + 1);
    for (const double each : {std::exp2(-x), std::log2(x), 1 / std::sqrt(x), 2 * to_float(to_bf16(x)), 1 / x})
      exact.push_back(each);
  }
  check("arithmetic", error_of(values, exact), 1e-6);

  vector<int> integer(1, 7);
  vector<float> floats(8), loaded(7);
  for (int i = 0; i < 8; ++i) floats[size_t(i)] = float(i);
  launch(constant_kernel, 1, 32, 0, {}, integer.data(), floats.data(), loaded.data());
  synchronize({});
  check("constants", error_of(loaded, {7, 0, 1, 4, 5, 6, 7}), 0);

  vector<vector16> random(2);
  launch(philox_kernel, 1, 32, 0, {}, random.data());
  synchronize({});
  const vector16 known[] = {{{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
                            {{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}}};
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j) check("philox", random[i].words[j] != known[i].words[j], 0);
  return failures != 0;
}
