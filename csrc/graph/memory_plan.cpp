#include "graph/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace eva {
namespace {

constexpr int64_t alignment = 256;

int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

int64_t end_of(int64_t offset, int64_t bytes) {
  int64_t end = 0;
  if (!__builtin_add_overflow(offset, bytes, &end)) return end;
  throw out_of_memory_error("out of memory: the program needs more memory than the address space has");
}

struct placed {
  int64_t offset, end;
  int first, last;
};

/// The offset of the lowest gap of `bytes` bytes among the values alive at the same time as `value`;
/// `by_offset` is sorted.
int64_t lowest_gap(const std::vector<placed>& by_offset, const lifetime& value, int64_t bytes) {
  int64_t offset = 0;
  for (const placed& other : by_offset) {
    if (other.last < value.first || value.last < other.first) continue;
    if (other.offset - offset >= bytes) break;
    offset = std::max(offset, other.end);
  }
  return offset;
}

}  // namespace

memory_plan plan_memory(const std::vector<lifetime>& values, bool share) {
  memory_plan plan{std::vector<int64_t>(values.size()), 0};
  if (!share) {
    for (size_t i = 0; i < values.size(); ++i) {
      plan.offsets[i] = plan.bytes;
      plan.bytes = end_of(plan.bytes, aligned(values[i].bytes));
    }
    return plan;
  }

  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a].bytes > values[b].bytes; });

  std::vector<placed> by_offset;
  by_offset.reserve(values.size());
  for (size_t i : order) {
    const int64_t bytes = aligned(values[i].bytes);
    const int64_t offset = lowest_gap(by_offset, values[i], bytes);
    plan.offsets[i] = offset;
    const placed entry{offset, end_of(offset, bytes), values[i].first, values[i].last};
    plan.bytes = std::max(plan.bytes, entry.end);
    by_offset.insert(std::upper_bound(by_offset.begin(), by_offset.end(), entry,
                                      [](const placed& a, const placed& b) { return a.offset < b.offset; }),
                     entry);
  }
  return plan;
}

}  // namespace eva
