// The choice among candidates by scripted times.
#include "cuda/linear/fastest.h"

#include <cmath>
#include <vector>

#include "../check.h"

namespace {

using namespace eva::test;
using eva::cuda::fastest;

constexpr double unusable = INFINITY;

/// The choice among candidates that take these seconds, the first time ten times as long, and then in turn
/// exactly as long and a little longer.
size_t chosen_of(const std::vector<double>& seconds) {
  std::vector<int> runs(seconds.size());
  return fastest(seconds.size(), [&](size_t i, int repetitions) {
    check(repetitions >= 1 && (repetitions == 1 || repetitions * seconds[i] < 1e-3),
          "a measurement is short");
    const int run = runs[i]++;
    return seconds[i] * (run == 0 ? 10 : run % 2 == 0 ? 1 : 1.3);
  });
}

/// How often each candidate is run.
std::vector<int> runs_of(const std::vector<double>& seconds) {
  std::vector<int> runs(seconds.size());
  fastest(seconds.size(), [&](size_t i, int repetitions) {
    runs[i] += repetitions;
    return seconds[i];
  });
  return runs;
}

}  // namespace

int main() {
  check(chosen_of({3e-3, 1e-3, 2e-3}) == 1, "the fastest");
  check(chosen_of({2e-3, 2e-3}) == 0, "the first of equals");
  check(chosen_of({2e-3, 1.99e-3}) == 0, "the first, if another is hardly faster");
  check(chosen_of({unusable, 3e-6, unusable, 1e-6}) == 3, "those that are unusable are left out");
  check(chosen_of({unusable, 2e-3, 2e-3}) == 1, "the first that is usable");
  check(chosen_of({unusable, unusable}) == 2 && chosen_of({}) == 0, "none");
  check(chosen_of({0, 0}) == 0, "a clock that stands still");
  check(runs_of({2e-3, 9e-3, unusable, 2.1e-3}) == std::vector<int>{5, 2, 1, 5},
        "hopeless candidates are not measured again, and long ones not repeated");
  check(runs_of({1e-5})[0] == 2 + 3 * 20, "short work is repeated");
  return status();
}
