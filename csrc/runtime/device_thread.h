#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace eva {

/// The one thread that a device's work runs on, in the order it was posted. libuv's thread pool is never
/// used: long jobs there would block every file-system call of the process.
class device_thread {
 public:
  using job = std::function<void()>;

  /// `on_exit` runs last on the thread.
  explicit device_thread(job on_exit);
  ~device_thread() { stop(); }
  device_thread(const device_thread&) = delete;
  device_thread& operator=(const device_thread&) = delete;

  /// Jobs must not throw. They are destroyed on the thread. Returns false if the thread has ended; the job is
  /// then destroyed by this call.
  bool post(job work);

  /// Ends the thread once its queue is empty.
  void finish();

  /// Cancels the running job (see cancelled), drops the queued ones and joins. Idempotent.
  void stop();

  /// Long jobs poll this between kernels.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  bool ended();

 private:
  std::thread start();
  void loop();
  /// The next job, or null if the thread is to end.
  job next();

  const job on_exit_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<job> jobs_;
  std::atomic<bool> cancelled_ = false;
  bool finishing_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace eva
