#include "runtime/device_thread.h"

namespace eva {

device_thread::device_thread(job enter) : thread_([this, enter = std::move(enter)] { loop(enter); }) {}

void device_thread::post(job work) {
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return;
    jobs_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void device_thread::stop() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    jobs_.clear();
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void device_thread::loop(const job& enter) {
  enter();
  for (;;) {
    job work;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return cancelled_ || !jobs_.empty(); });
      if (cancelled_) return;
      work = std::move(jobs_.front());
      jobs_.pop_front();
    }
    work();
  }
}

}  // namespace eva
