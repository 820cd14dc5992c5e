#pragma once
// Checks of integers that kernels use as indices.

#include <initializer_list>

#include "cuda/context.h"
#include "cuda/device/atomic.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda {

/// The index rules of one application of an op. A kernel skips offending entries and continues; the run's
/// results are discarded.
class index_check {
 public:
  /// `application`: its args, whose address identifies it.
  index_check(const context& c, const char* op, const void* application,
              std::initializer_list<index_rule> rules)
      : fault_(c.faults.memory()), owner_(reinterpret_cast<uintptr_t>(application)), op_(op) {
    index_rule* next = rules_;
    for (const index_rule& rule : rules) *next++ = rule;
  }

  /// Whether the integer at `place` of the input satisfies rule number `rule`; if not, it is reported.
  __device__ bool holds(int rule, int64_t place, int64_t value) const {
    if (0 <= value && value < rules_[rule].count) return true;
    report(rule, place, value);
    return false;
  }

  /// Checks `size` starts; all threads of the grid share the work.
  __device__ void check_starts(int rule, const int32_t* starts, int64_t size) const {
    const int64_t stride = int64_t(device::grid_blocks()) * device::block_threads();
    for (int64_t i = int64_t(device::block_index()) * device::block_threads() + device::thread_index();
         i < size; i += stride) {
      const int64_t previous = i == 0 ? 0 : starts[i - 1], length = starts[i] - previous;
      const int64_t longest = i == 0 ? 0 : rules_[rule].longest;
      if (length < 0 || length > longest || starts[i] > rules_[rule].count) report(rule, i, starts[i]);
    }
  }

  __device__ void report(int rule, int64_t place, int64_t value) const {
    const uint64_t before = device::atomic_cas(&fault_->owner, 0, owner_);
    if (before == 0) {
      fault_->op = op_;
      for (int i = 0; i < rule_count; ++i) fault_->rules[i] = rules_[i];
    }
    if (before == 0 || before == owner_)
      device::atomic_min(&fault_->first, uint64_t(rule) << 62 | (uint64_t(place) & 0x3fffffffu) << 32 |
                                             uint32_t(int32_t(value)));
  }

 private:
  static constexpr int rule_count = int(std::size(index_fault{}.rules));

  index_fault* fault_;
  uint64_t owner_;
  const char* op_;
  index_rule rules_[rule_count];
};

}  // namespace eva::cuda
