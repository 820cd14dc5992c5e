#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace eva {

/// Threads for short jobs that belong to no device, such as resizing an image. They are started when a job
/// finds no idle one, at most as many as the processors this process may use. libuv's thread pool is not
/// used: it serves the file system and the image decoder.
class worker_pool {
 public:
  using job = std::function<void()>;

  worker_pool() = default;
  ~worker_pool() { stop(); }
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;

  /// Jobs must not throw. Returns false after stop(). Throws device_error if no thread can be started.
  bool post(job work);

  /// Waits for the running jobs, drops the queued ones and joins. Idempotent.
  void stop();

 private:
  void start_thread();
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<job> jobs_;
  size_t idle_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace eva
