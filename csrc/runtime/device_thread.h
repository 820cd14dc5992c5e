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
  using condition = std::function<bool()>;

  /// `on_exit` runs last on the thread.
  explicit device_thread(job on_exit);
  ~device_thread() { stop(); }
  device_thread(const device_thread&) = delete;
  device_thread& operator=(const device_thread&) = delete;

  /// Jobs must not throw. They are destroyed on the thread. Returns false if the thread has ended; the job is
  /// then destroyed by this call. A job with a condition waits until that holds or the thread is to end, and
  /// later jobs overtake it.
  bool post(job work, condition ready = nullptr);

  /// Tests the conditions again. The caller must hold no lock that they take.
  void wake();

  /// Ends the thread once its queue is empty.
  void finish();
  /// Waits for the end of the thread. Idempotent.
  void join();

  /// Cancels the running job (see cancelled), drops the queued ones and joins. Idempotent.
  void stop();

  /// Long jobs poll this between kernels.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  bool ended();

 private:
  struct entry {
    job work;
    condition ready;
  };

  std::thread start();
  void loop();
  /// The next job, or null if the thread is to end.
  entry next();

  const job on_exit_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<entry> jobs_;
  std::atomic<bool> cancelled_ = false;
  bool finishing_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace eva
