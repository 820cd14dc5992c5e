#include "cuda/device/launch.cuh"
#include "cuda/device/philox.cuh"
#include "cuda/device/scan.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/keep_tokens.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr uint32_t keep_key = 0x6b656570, path_key = 0x70617468;

/// The random keys of an image's tokens: stored in shared memory or, if an image has too many tokens for
/// that, recomputed at each use.
template <bool Stored> struct token_keys {
  uint32_t image, seed, step;
  int tokens;
  shared_array<uint32_t> words;

  __device__ uint32_t draw(int token) const {
    const uint32_t number = uint32_t(token);
    const vector16 four = philox({{number / 4, image, step, 0}}, seed, keep_key);
    const uint32_t low = number % 2 ? four.words[1] : four.words[0];
    const uint32_t high = number % 2 ? four.words[3] : four.words[2];
    return number % 4 < 2 ? low : high;
  }
  __device__ void prepare() const {
    if constexpr (Stored) {
      for (int first = 4 * lane_index(); first < tokens; first += 4 * warp_size) {
        const vector16 four = philox({{uint32_t(first) / 4, image, step, 0}}, seed, keep_key);
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (first + i < tokens) words.store(first + i, four.words[i]);
      }
      warp_barrier();
    }
  }
  __device__ uint32_t operator[](int token) const { return Stored ? words.load(token) : draw(token); }

  /// The number of tokens whose keys satisfy the test; collective over the warp.
  template <class Test> __device__ int count(const Test& test) const {
    int found = 0;
    for (int first = 0; first < tokens; first += warp_size) {
      const int token = first + lane_index();
      found += count_lanes(warp_ballot(token < tokens && test((*this)[min(token, tokens - 1)])));
    }
    return found;
  }

  /// The keep-th smallest key, by binary search from the highest bit.
  __device__ uint32_t select(int keep) const {
    uint32_t threshold = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
      const uint32_t candidate = threshold | bit;
      if (count([candidate](uint32_t key) { return key < candidate; }) < keep) threshold = candidate;
    }
    return threshold;
  }
};

// One warp per image.
// Expected bound: warp collectives; 32 passes over the image's keys.
template <bool Stored>
__global__ void __launch_bounds__(warp_size)
    keep_tokens_kernel(const int32_t* seed, int32_t* kept, int64_t batch, int tokens, int keep) {
  for (int64_t image = block_index(); image < batch; image += grid_blocks()) {
    const token_keys<Stored> keys{uint32_t(image), uint32_t(seed[0]), uint32_t(seed[1]), tokens,
                                  shared_at<uint32_t>(0)};
    warp_barrier();
    keys.prepare();
    const uint32_t threshold = keys.select(keep);
    // Of the keys equal to the threshold, the first ones are kept.
    int equals_left = keep - keys.count([threshold](uint32_t key) { return key < threshold; });
    int written = 0;
    for (int first = 0; first < tokens; first += warp_size) {
      const int token = first + lane_index();
      const uint32_t key = keys[min(token, tokens - 1)];
      const uint32_t equal = warp_ballot(token < tokens && key == threshold);
      const bool is_kept =
          token < tokens && (key < threshold || (key == threshold && lanes_before(equal) < equals_left));
      const uint32_t kept_lanes = warp_ballot(is_kept);
      if (is_kept) kept[image * keep + written + lanes_before(kept_lanes)] = token;
      written += count_lanes(kept_lanes);
      equals_left = max(0, equals_left - count_lanes(equal));
    }
  }
}

// y = residual + x · factor, where the factor of a sample is 0 or `scale`; residual may be null.
// Expected bound: HBM bandwidth; reads x and residual, writes y.
template <int Width, class T>
__global__ void __launch_bounds__(256)
    drop_path_kernel(const T* x, const int32_t* seed, const T* residual, T* y, int64_t count,
                     int64_t sample_size, uint32_t stream, uint64_t threshold, float scale) {
  for_groups<Width>(count, [&]<int Count>(int64_t i, width<Count>) {
    const uint32_t sample = uint32_t(i / sample_size);
    const vector16 words = philox({{stream, sample, uint32_t(seed[1]), 0}}, uint32_t(seed[0]), path_key);
    const float factor = words.words[0] < threshold ? 0.0f : scale;
    float values[Count], others[Count] = {};
    load_elements(x + i, values);
    if (residual) load_elements(residual + i, others);
    for (int j = 0; j < Count; ++j) values[j] = values[j] * factor + others[j];
    store_elements(y + i, values);
  });
}

}  // namespace

template <> void run<ops::keep_tokens>(const ops::keep_tokens::args& a, context& c) {
  constexpr int64_t max_bytes = 48 << 10;
  const int64_t bytes = a.tokens * int64_t(sizeof(uint32_t));
  const bool stored = bytes <= max_bytes;
  launch(stored ? keep_tokens_kernel<true> : keep_tokens_kernel<false>, blocks_of(a.batch, 1), warp_size,
         stored ? int(bytes) : 0, c.stream, a.seed.as<int32_t>(), a.kept.as<int32_t>(), a.batch,
         int(a.tokens), int(a.keep));
}

template <> void run<ops::drop_path>(const ops::drop_path::args& a, context& c) {
  constexpr int threads = 256;
  const int64_t count = a.y.size(), sample_size = count == 0 ? 1 : count / a.x.dim(0);
  // word < threshold if and only if word / 2³² < rate.
  const auto threshold = uint64_t(std::ceil(double(a.rate) * 0x1p32));
  for_element_type(a.x.type, [&]<class T>(T*) {
    const T* const residual = a.residual.present() ? a.residual.as<T>() : nullptr;
    for_width(sample_size % group == 0 && aligned(a.x, a.residual, a.y), [&]<int Width>(width<Width>) {
      launch(drop_path_kernel<Width, T>, blocks_of(count, threads * Width), threads, 0, c.stream, a.x.as<T>(),
             a.seed.as<int32_t>(), residual, a.y.as<T>(), count, sample_size, uint32_t(a.stream), threshold,
             1.0f / (1.0f - a.rate));
    });
  });
}

}  // namespace eva::cuda
