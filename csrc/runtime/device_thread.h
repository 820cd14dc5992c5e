#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace eva {

/// The one thread that a device's work runs on, in the order it was posted. libuv's pool is never used: long
/// jobs there would stop every file-system call of the process.
class device_thread {
 public:
  using job = std::function<void()>;

  /// `leave` is the last thing that runs on the thread.
  explicit device_thread(job leave);
  ~device_thread() { stop(); }
  device_thread(const device_thread&) = delete;
  device_thread& operator=(const device_thread&) = delete;

  /// Jobs must not throw. A job is destroyed on the thread; false if that has ended, and then it is destroyed
  /// here.
  bool post(job work);

  /// Lets the thread end once it has nothing left to do.
  void finish();

  /// Asks the running job to give up (see cancelled), drops the waiting ones and joins. Idempotent.
  void stop();

  /// Long jobs look here between kernels.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  bool ended();

 private:
  std::thread start();
  void loop();
  /// The next job; none when the thread is to end.
  job next();

  const job leave_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<job> jobs_;
  std::atomic<bool> cancelled_ = false;
  bool finishing_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace eva
