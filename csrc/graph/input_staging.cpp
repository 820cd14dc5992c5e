#include "graph/input_staging.h"

#include <cstring>
#include <utility>

#include "core/error.h"

namespace eva {

void input_staging::begin() {
  const auto on = device_.lock();
  has_lane_ = on && on->backend().has_input_lane();
}

void input_staging::end() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  if (const auto on = device_.lock()) on->wake_input_lane();
}

void input_staging::release() noexcept {
  std::array<slots, 2> freed;
  const std::lock_guard lock(mutex_);
  ended_ = true;
  sets_.swap(freed);
}

/// None if both are taken.
std::optional<size_t> input_staging::try_take() {
  const std::lock_guard lock(mutex_);
  for (size_t set = 0; set < taken_.size(); ++set)
    if (!std::exchange(taken_[set], true)) return set;
  return std::nullopt;
}

void input_staging::give_back(size_t set) {
  {
    const std::lock_guard lock(mutex_);
    taken_[set] = false;
  }
  if (const auto on = device_.lock()) on->wake_input_lane();
}

bool input_staging::has_ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

/// Allocates the slots of both sets that inputs need for the first time.
void input_staging::make_slots(const device& on, std::span<const input> all) {
  std::vector<input> missing;
  int64_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const input& each : all) {
      if (sets_[0].contains(each.id)) continue;
      missing.push_back(each);
      bytes += int64_t(sets_.size()) * each.size;
    }
  }
  if (missing.empty()) return;
  on.backend().expect_free(bytes);  // all of them or none
  std::array<slots, 2> made;
  for (slots& set : made)
    for (const input& each : missing) set.emplace(each.id, on.backend().make_input_slot(each.size));
  const std::lock_guard lock(mutex_);
  for (size_t set = 0; set < made.size(); ++set) sets_[set].merge(made[set]);
}

input_slot& input_staging::slot_of(size_t set, value_id id) {
  const std::lock_guard lock(mutex_);
  return *sets_[set].at(id);
}

bool staged_inputs::reserve() {
  if (!set_) set_ = of_->try_take();
  return set_ || of_->has_ended();
}

void staged_inputs::fill(std::span<const input_staging::input> all) {
  const auto on = of_->device_.lock();
  if (!on || (!set_ && on->closed())) throw disposed_error("the device");
  if (!set_) throw disposed_error("the program");
  of_->make_slots(*on, all);
  for (const input_staging::input& input : all) {
    of_->slot_of(*set_, input.id).fill([&](int64_t begin, int64_t end, std::byte* to) {
      if (on->thread().cancelled()) throw disposed_error("the device");
      std::memcpy(to, static_cast<const std::byte*>(input.bytes) + begin, size_t(end - begin));
    });
    filled_.push_back(input.id);
  }
}

void staged_inputs::give_back() {
  if (set_) of_->give_back(*std::exchange(set_, std::nullopt));
}

}  // namespace eva
