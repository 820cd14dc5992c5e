#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "core/first_failure.h"
#include "cpu/context.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Calls body(begin, end) on contiguous parts of [0, count), at most one per thread and each at least `grain`
/// long, and rethrows the first exception. The split depends only on count, grain and the number of threads,
/// so results are reproducible. The team always has its full size: OpenMP ends the threads that a smaller one
/// leaves out, and exits the process if it cannot start them again.
template <class Body> void parallel_for(const context& c, int64_t count, int64_t grain, const Body& body) {
  const int64_t parts = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, c.threads);
  if (parts == 1) {
    if (count > 0) body(int64_t(0), count);
    return;
  }
  first_failure failure;
#pragma omp parallel num_threads(c.threads)
  {
    const int64_t team = omp_get_num_threads();
    for (int64_t part = omp_get_thread_num(); part < parts; part += team)
      failure.guard([&] { body(count * part / parts, count * (part + 1) / parts); });
  }
  failure.rethrow();
}

/// Calls body(thread, team, barrier) on each thread of a team, where barrier() waits for all of them: for
/// passes whose threads need each other's results. `body` must not throw. Work that is `small` stays on this
/// thread, a team of one.
template <class Body> void parallel_team(const context& c, bool small, const Body& body) {
  if (small || c.threads == 1) return body(0, 1, [] {});
#pragma omp parallel num_threads(c.threads)
  body(omp_get_thread_num(), omp_get_num_threads(), [] {
#pragma omp barrier
  });
}

/// Calls body(item, thread) for each item in [0, count), scheduled dynamically, and rethrows the first
/// exception. For items of unequal cost whose results do not depend on the order. `thread` indexes per-thread
/// scratch. Work that is `small` stays on this thread.
template <class Body> void parallel_items(const context& c, bool small, int64_t count, const Body& body) {
  if (small || count <= 1 || c.threads == 1) {
    for (int64_t item = 0; item < count; ++item) body(item, 0);
    return;
  }
  first_failure failure;
#pragma omp parallel for schedule(dynamic, 1) num_threads(c.threads)
  for (int64_t item = 0; item < count; ++item) failure.guard([&] { body(item, omp_get_thread_num()); });
  failure.rethrow();
}

}  // namespace eva::cpu::EVA_CLIP_ISA
