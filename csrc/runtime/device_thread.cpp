#include "runtime/device_thread.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace eva {

device_thread::device_thread(job on_exit) : on_exit_(std::move(on_exit)), thread_(start()) {}

std::thread device_thread::start() {
  try {
    return std::thread([this] { loop(); });
  } catch (const std::system_error& e) {
    throw device_error("cannot start the device's thread: " + std::string(e.what()));
  }
}

bool device_thread::post(job work, condition ready) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    jobs_.push_back({std::move(work), std::move(ready)});
  }
  wake_.notify_one();
  return true;
}

void device_thread::wake() {
  const std::lock_guard lock(mutex_);  // so that the thread is not between a test and its wait
  wake_.notify_one();
}

void device_thread::finish() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  wake_.notify_one();
}

void device_thread::stop() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  wake_.notify_one();
  join();
}

void device_thread::join() {
  if (thread_.joinable()) thread_.join();
}

bool device_thread::ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

device_thread::entry device_thread::next() {
  std::unique_lock lock(mutex_);
  auto chosen = jobs_.end();
  wake_.wait(lock, [&] {
    if (cancelled_) return true;
    chosen = std::find_if(jobs_.begin(), jobs_.end(), [](const entry& e) { return !e.ready || e.ready(); });
    return finishing_ || chosen != jobs_.end();
  });
  if (cancelled_ || jobs_.empty()) return {};
  if (chosen == jobs_.end()) chosen = jobs_.begin();
  entry taken = std::move(*chosen);
  jobs_.erase(chosen);
  return taken;
}

void device_thread::loop() {
  for (;;) {
    const entry taken = next();
    if (!taken.work) break;
    taken.work();
  }
  on_exit_();
  std::deque<entry> dropped;  // destroyed after the lock is released
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    dropped.swap(jobs_);
  }
}

}  // namespace eva
