#include "stream.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "capture.h"
#include "failures.h"
#include "memory_map.h"
#include "watched_memory.h"

namespace eva::emulator {
namespace {

enum : uint32_t { at_once = 0, late = 1 };

uint32_t seed = [] {
  const char* given = std::getenv("EVA_CLIP_EMULATOR_SEED");
  return given ? uint32_t(std::stoul(given)) : late;
}();
std::mt19937 random_numbers(seed);

std::vector<std::shared_ptr<queue>>& queues() {
  static std::vector<std::shared_ptr<queue>> all{std::make_shared<queue>()};  // the default stream's first
  return all;
}

/// Runs the next command of any queue that can run; false if none can.
bool run_any() {
  std::vector<queue*> able;
  for (const auto& each : queues())
    if (each->can_run()) able.push_back(each.get());
  if (able.empty()) return false;
  able[choose(able.size())]->run_next();
  return true;
}

/// Runs what the queue's next command waits for, or that command.
void run_next_of(queue& wanted) {
  queue* at = &wanted;
  while (!at->can_run()) at = at->awaited().in.get();
  at->run_next();
}

}  // namespace

bool point::passed() const { return !in || in->has_run(count); }

void queue::submit(command work) {
  const std::lock_guard lock(device_lock);
  append(std::move(work));
}

bool queue::can_access(const void* from, size_t bytes) const { return is_on_device(from, bytes); }

void queue::wrote(const void* to, size_t bytes) const { mark_written(to, bytes); }

void queue::append(command work, const point& after) {
  if (recording) {
    frontier = {recording->add(std::move(work), frontier)};
    return;
  }
  waiting_.push_back({std::move(work), after});
  ++submitted_;
  if (seed == at_once)
    while (run_any()) continue;
  else if (seed != late)
    while (random_numbers() % 2 == 0 && run_any()) continue;
}

void queue::run_next() {
  const command work = std::move(waiting_.front().work);
  waiting_.pop_front();
  ++run_;
  if (work && !device_fails_in("command")) work();
}

void queue::drop() {
  run_ = submitted_;
  waiting_.clear();
}

void set_seed(uint32_t chosen) {
  const std::lock_guard lock(device_lock);
  seed = chosen;
  random_numbers.seed(chosen);
}

size_t choose(size_t count) { return seed <= late ? 0 : random_numbers() % count; }

std::shared_ptr<queue> open_queue() { return queues().emplace_back(std::make_shared<queue>()); }

void close_queue(const std::shared_ptr<queue>& closed) {
  run_until(closed->end());
  std::erase(queues(), closed);
}

queue& queue_of(stream* on) { return on ? static_cast<queue&>(*on) : *queues().front(); }

void run_until(const point& end) {
  while (!end.passed()) {
    if (seed <= late)
      run_next_of(*end.in);
    else
      run_any();
  }
}

void run_all() {
  while (run_any()) continue;
}

void drop_all() {
  for (const auto& each : queues()) each->drop();
}

}  // namespace eva::emulator
