#include "cuda/linear/fastest.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace eva::cuda {
namespace {

constexpr int rounds = 3;               // of measurements, interleaved; the shortest counts
constexpr double round_seconds = 3e-4;  // of a candidate; short work is repeated
constexpr int max_repetitions = 20;
constexpr double hopeless = 1.5;  // times the shortest: not measured again
constexpr double gain = 1.02;     // by which another must be faster than the first

}  // namespace

size_t fastest(size_t count, const measurement& seconds_of) {
  std::vector<double> seconds(count);
  for (size_t i = 0; i < count; ++i) {
    seconds[i] = seconds_of(i, 1);  // the first run loads the kernel
    if (std::isfinite(seconds[i])) seconds[i] = seconds_of(i, 1);
  }
  const auto repetitions = [](double each) {
    return int(std::clamp(round_seconds / std::max(each, 1e-9), 1.0, double(max_repetitions)));
  };
  for (int round = 0; round < rounds && count > 0; ++round) {
    const double limit = hopeless * *std::min_element(seconds.begin(), seconds.end());
    for (size_t i = 0; i < count; ++i)
      if (std::isfinite(seconds[i]) && seconds[i] <= limit)
        seconds[i] = std::min(seconds[i], seconds_of(i, repetitions(seconds[i])));
  }
  const auto first = std::find_if(seconds.begin(), seconds.end(), [](double s) { return std::isfinite(s); });
  if (first == seconds.end()) return count;
  const auto best = std::min_element(seconds.begin(), seconds.end());
  return size_t((*best * gain < *first ? best : first) - seconds.begin());
}

}  // namespace eva::cuda
