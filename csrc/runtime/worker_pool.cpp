#include "runtime/worker_pool.h"

#include <sched.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace eva {
namespace {

/// Decoding an image takes several times as long as resizing it.
constexpr size_t most_threads = 16;

size_t processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  return known ? size_t(CPU_COUNT(&allowed)) : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

bool worker_pool::post(job work) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    if (idle_ <= jobs_.size()) start_thread();
    jobs_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

/// Under the lock. The threads that there are do the work of those that the system refuses.
void worker_pool::start_thread() {
  if (threads_.size() >= std::min(most_threads, processors())) return;
  try {
    threads_.emplace_back([this] { loop(); });
    ++idle_;
  } catch (const std::system_error& e) {
    if (threads_.empty()) throw device_error("cannot start a thread: " + std::string(e.what()));
  }
}

void worker_pool::stop() {
  std::deque<job> dropped;  // destroyed after the lock is released
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(jobs_);
  }
  wake_.notify_all();
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
}

void worker_pool::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopped_ || !jobs_.empty(); });
    if (stopped_) return;
    const job work = std::move(jobs_.front());
    jobs_.pop_front();
    --idle_;
    lock.unlock();
    work();
    lock.lock();
    ++idle_;
  }
}

}  // namespace eva
