#include "graph/schedule.h"

#include <algorithm>
#include <map>

namespace eva {
namespace {

/// The memory that values are in: parameters may share theirs, and views have their owner's.
class memory_of_values {
 public:
  explicit memory_of_values(const graph& recorded) : recorded_(recorded) {
    const auto& values = recorded.values();
    for (size_t i = 0; i < values.size(); ++i)
      if (values[i].from == graph::origin::parameter)
        first_.try_emplace(values[i].parameter->memory().get(), value_id(i));
  }

  value_id of(value_id id) const {
    const value_id owner = recorded_.owner(id);
    const auto& value = recorded_.at(owner);
    return value.from == graph::origin::parameter ? first_.at(value.parameter->memory().get()) : owner;
  }

 private:
  const graph& recorded_;
  std::map<const parameter_memory*, value_id> first_;
};

}  // namespace

schedule schedule::of(const graph& recorded, const std::vector<node*>& order) {
  const memory_of_values memory(recorded);
  schedule made;
  made.steps.reserve(order.size());
  std::map<value_id, bool>
      pending;                     // what the other lane uses beside the compute lane, and whether it writes
  std::vector<size_t> unfinished;  // the steps that use it
  bool is_behind = true;           // whether the other lane has not waited for the latest of the compute lane

  const auto conflicts = [&](const slot& s) {
    if (s.value == no_value) return false;
    const auto found = pending.find(memory.of(s.value));
    return found != pending.end() && (found->second || s.how != access::read);
  };
  const auto finish_before = [&](int position) {
    for (const size_t i : unfinished) made.steps[i].last_beside = position - 1;
    unfinished.clear();
    pending.clear();
  };

  for (node* n : order) {
    const int position = int(made.steps.size());
    step& added = made.steps.emplace_back(step{n, false, position});
    if (n->op->runs_on() == lane::compute) {
      added.waits = std::any_of(n->slots.begin(), n->slots.end(), conflicts);
      if (added.waits) finish_before(position);
      is_behind = true;
      continue;
    }
    added.waits = is_behind;
    is_behind = false;
    unfinished.push_back(size_t(position));
    for (const slot& s : n->slots) {
      if (s.value == no_value) continue;
      bool& is_written = pending[memory.of(s.value)];
      is_written = is_written || s.how != access::read;
    }
  }
  made.waits_at_end = !unfinished.empty();
  finish_before(int(order.size()) + 1);
  return made;
}

}  // namespace eva
