#pragma once

#include <memory>

#include "cpu/dispatch/backend.h"
#include "runtime/backend.h"

namespace eva::test {

/// The CPU's backend, of which a test overrides what it observes.
class wrapped_cpu : public backend {
 public:
  description info() const override { return cpu_->info(); }
  void enter_thread() override { cpu_->enter_thread(); }
  void* allocate(int64_t bytes) override { return cpu_->allocate(bytes); }
  void release(void* memory, int64_t bytes) noexcept override { cpu_->release(memory, bytes); }
  void fill(void* to, int64_t bytes, const producer& produce) override { cpu_->fill(to, bytes, produce); }
  void read(void* to, const void* from, int64_t bytes) override { cpu_->read(to, from, bytes); }
  void finish() override {}
  double time(kernel& work) override { return cpu_->time(work); }
  std::unique_ptr<kernel> prepare(int op, const void* args, lane on) override {
    return cpu_->prepare(op, args, on);
  }

 private:
  std::shared_ptr<backend> cpu_ = cpu::open(1, "");
};

}  // namespace eva::test
