#include "runtime/device_thread.h"

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

bool device_thread::post(job work) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    jobs_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
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
  if (thread_.joinable()) thread_.join();
}

bool device_thread::ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

device_thread::job device_thread::next() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return cancelled_ || finishing_ || !jobs_.empty(); });
  if (cancelled_ || jobs_.empty()) return nullptr;
  job work = std::move(jobs_.front());
  jobs_.pop_front();
  return work;
}

void device_thread::loop() {
  while (const job work = next()) work();
  on_exit_();
  std::deque<job> dropped;  // destroyed after the lock is released
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    dropped.swap(jobs_);
  }
}

}  // namespace eva
