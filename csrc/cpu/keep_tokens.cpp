#include "ops/keep_tokens.h"

#include <numeric>
#include <vector>

#include "core/philox.h"
#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

constexpr uint32_t keep_key = 0x6b656570, path_key = 0x70617468;

/// Writes the `keep` indices with the smallest keys, in ascending order.
void keep_smallest(std::vector<uint64_t>& keyed, int64_t keep, int32_t* kept) {
  std::nth_element(keyed.begin(), keyed.begin() + (keep - 1), keyed.end());
  for (int64_t i = 0; i < keep; ++i) kept[i] = int32_t(uint32_t(keyed[size_t(i)]));
  std::sort(kept, kept + keep);
}

}  // namespace

template <> void run<ops::keep_tokens>(const ops::keep_tokens::args& a, context& c) {
  const auto seed = uint32_t(a.seed.as<int32_t>()[0]), step = uint32_t(a.seed.as<int32_t>()[1]);
  parallel_for(c, a.batch, 8, [&](int64_t begin, int64_t end) {
    // Key and index in one word, so that ties are broken by index.
    thread_local std::vector<uint64_t> keyed;
    for (int64_t image = begin; image < end; ++image) {
      keyed.resize(size_t(a.tokens));
      for (uint32_t patch = 0; patch < uint32_t(a.tokens); patch += 4) {
        const auto words = philox({patch / 4, uint32_t(image), step, 0}, {seed, keep_key});
        for (uint32_t p = patch; p < std::min(patch + 4, uint32_t(a.tokens)); ++p)
          keyed[p] = uint64_t(words[p % 4]) << 32 | p;
      }
      keep_smallest(keyed, a.keep, a.kept.as<int32_t>() + image * a.keep);
    }
  });
}

namespace {

template <class T> void drop_paths(const ops::drop_path::args& a, const context& c) {
  const auto seed = uint32_t(a.seed.as<int32_t>()[0]), step = uint32_t(a.seed.as<int32_t>()[1]);
  const int64_t samples = a.x.dim(0), size = samples == 0 ? 0 : a.x.size() / samples;
  const T* residual = a.residual.present() ? a.residual.as<T>() : nullptr;
  const double threshold = double(a.rate) * 0x1p32;
  parallel_for(c, samples, 1, [&](int64_t begin, int64_t end) {
    for (int64_t sample = begin; sample < end; ++sample) {
      const uint32_t word = philox({uint32_t(a.stream), uint32_t(sample), step, 0}, {seed, path_key})[0];
      const float factor = double(word) < threshold ? 0.0f : 1.0f / (1.0f - a.rate);
      const int64_t first = sample * size;
      sweep(size, [&](int64_t i, auto width) {
        vec y = load(a.x.as<T>() + first + i, width) * factor;
        if (residual) y += load(residual + first + i, width);
        store(a.y.as<T>() + first + i, y, width);
      });
    }
  });
}

}  // namespace

template <> void run<ops::drop_path>(const ops::drop_path::args& a, context& c) {
  a.x.type == dtype::f32 ? drop_paths<float>(a, c) : drop_paths<bf16>(a, c);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
