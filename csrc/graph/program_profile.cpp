#include "core/error.h"
#include "graph/program.h"

namespace eva {

void program::start_profile(timed what) {
  profiled_ = what;
  profile_.clear();
  if (what == timed::whole)
    profile_.push_back({"program", 0, 0, 0});
  else
    for (const auto& step : schedule_.steps) profile_.push_back({step.applied->op->name(), 0, 0, 0});
}

void program::run_timed() {
  struct all final : kernel {
    explicit all(program& of) : of_(of) {}
    void run() override { of_.run_kernels(); }
    program& of_;
  } whole(*this);
  timing& sum = profile_.front();
  sum.seconds += device_->backend().time(whole);
  for (const auto& step : schedule_.steps) sum.flops += step.applied->op->flops();
  ++sum.calls;
}

/// An op of the other lane is timed from where the compute lane stands until it is over.
double program::time(size_t step) {
  if (schedule_.steps[step].applied->op->runs_on() == lane::compute)
    return device_->backend().time(*kernels_[step]);
  struct beside final : kernel {
    beside(program& of, size_t step) : of_(of), step_(step) {}
    void run() override {
      if (const auto& start = of_.waits_[size_t(lane::communication)]) start->run();
      of_.kernels_[step_]->run();
      if (const auto& end = of_.waits_[size_t(lane::compute)]) end->run();
    }
    program& of_;
    size_t step_;
  } work(*this, step);
  return device_->backend().time(work);
}

void program::run_profiled() {
  for (size_t i = 0; i < kernels_.size(); ++i) {
    if (device_->thread().cancelled()) throw disposed_error("the device");
    profile_[i].seconds += time(i);
    profile_[i].flops += schedule_.steps[i].applied->op->flops();
    ++profile_[i].calls;
  }
  has_run_ = true;
}

}  // namespace eva
