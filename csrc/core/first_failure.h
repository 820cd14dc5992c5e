#pragma once

#include <atomic>
#include <exception>

namespace eva {

/// Carries an exception out of a parallel region, which none may leave by itself: that would end the process.
class first_failure {
 public:
  /// Calls `work` unless something has failed before.
  template <class Work> void guard(const Work& work) {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      work();
    } catch (...) {
      if (!failed_.exchange(true)) exception_ = std::current_exception();
    }
  }

  /// Behind the region: throws what was thrown first, if anything was.
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::atomic<bool> failed_ = false;
  std::exception_ptr exception_;
};

}  // namespace eva
