#pragma once

#include <atomic>
#include <exception>

namespace eva {

/// Carries the first exception out of an OpenMP parallel region: one that left the region by itself would
/// terminate the process.
class first_failure {
 public:
  /// Calls `work` unless an earlier call has failed.
  template <class Work> void guard(const Work& work) {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      work();
    } catch (...) {
      if (!failed_.exchange(true)) exception_ = std::current_exception();
    }
  }

  /// After the region: rethrows the first exception, if there was one.
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::atomic<bool> failed_ = false;
  std::exception_ptr exception_;
};

}  // namespace eva
