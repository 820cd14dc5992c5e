#pragma once

#include <cstdint>
#include <vector>

namespace eva {

/// Size and live range of a value: from the step that writes it to the last step that reads it, inclusive.
struct lifetime {
  int64_t bytes = 0;
  int first = 0;
  int last = 0;
};

struct memory_plan {
  std::vector<int64_t> offsets;  // of each value, in the order given
  int64_t bytes = 0;             // of the arena
};

/// Places all values in one arena. Values with disjoint lifetimes may share memory, unless `share` is false.
/// Greedy by size: the largest value first, each at the lowest offset where it overlaps no placed value that
/// is alive at the same time (Pisarchyk and Lee 2020).
memory_plan plan_memory(const std::vector<lifetime>& values, bool share);

}  // namespace eva
