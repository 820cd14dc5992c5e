#include "cuda/backend.h"

#include <cstdlib>
#include <mutex>

#include "cuda/captured.h"
#include "cuda/failure.h"
#include "cuda/input_lane.h"
#include "cuda/lane_wait.h"
#include "cuda/linear/gemm.h"
#include "cuda/staging.h"
#include "cuda/stopwatch.h"
#include "cuda/table.h"
#include "cuda/usable.h"
#include "ops/fingerprint.h"
#include "runtime/backend_library.h"

namespace eva::cuda {
namespace {

/// Whether an environment variable is set to something other than 0; `otherwise` if it is not set.
bool is_set(const char* name, bool otherwise) {
  const char* value = std::getenv(name);
  if (!value || !*value) return otherwise;
  return std::string(value) != "0";
}

class cuda_backend final : public backend {
 public:
  // Its device is current on the calling thread.
  explicit cuda_backend(int index) : index_(index), identity_(device::identity_of(index)) {
    context_.blas = blas_library::open();
    context_.stream = device::make_stream();
    input_lane_ = std::make_unique<input_lane>(context_.stream);
    context_.properties = device::current_properties();
    context_.synchronous = is_set("EVA_CLIP_CUDA_SYNC", false);
  }
  ~cuda_backend() override {
    cuda_backend::close();
    input_lane_.reset();
    if (communication_) device::destroy(communication_->stream);
    device::destroy(context_.stream);
  }

  description info() const override {
    return {.kind = "cuda",
            .name = identity_.name,
            .instruction_set = "sm_" + std::to_string(10 * identity_.major + identity_.minor),
            .library = context_.blas->description(),
            .threads = 1,
            .driver = "for CUDA " + cuda_version(device::driver_version()) + " (built with " +
                      cuda_version(device::built_version) + ")",
            .memory_bytes = identity_.memory_bytes};
  }

  void enter_thread() override {
    translated([&] { device::select_device(index_); });
  }

  void* allocate(int64_t bytes) override {
    return translated([&] {
      const std::lock_guard lock(memory_mutex_);
      const device::selected_device here(index_);
      if (void* memory = device::allocate(bytes == 0 ? 1 : bytes)) return memory;
      throw out_of_memory(bytes, device::free_bytes());
    });
  }
  void expect_free(int64_t bytes) const override {
    translated([&] {
      const std::lock_guard lock(promise_mutex_);
      check_free(bytes);
    });
  }
  bool promise(int64_t bytes) override {
    translated([&] {
      const std::lock_guard lock(promise_mutex_);
      check_free(bytes);
      promised_ += bytes;
    });
    return true;
  }
  void withdraw(int64_t bytes) noexcept override {
    const std::lock_guard lock(promise_mutex_);
    promised_ -= bytes;
  }
  void release(void* memory, int64_t) noexcept override { device::release(memory); }

  void fill(void* memory, int64_t bytes, const producer& produce) override {
    translated([&] { staging_.fill(memory, bytes, produce, context_.stream); });
  }
  void read(void* host, const void* memory, int64_t bytes) override {
    translated([&] { staging_.read(host, memory, bytes, context_.stream); });
  }
  bool has_input_lane() const override { return true; }
  std::unique_ptr<input_slot> make_input_slot(int64_t bytes) override {
    return translated([&] {
      const device::selected_device here(index_);
      return input_lane_->slot_of(allocate(bytes), bytes);
    });
  }
  void finish() override {
    translated([&] {
      // All inside: an error of any of them must also drop the results that are still to be delivered.
      staging_.deliver([&] {
        for_each_context([&](context& each) { each.faults.fetch(context_.stream); });
        finished_.record(context_.stream);
        finished_.wait();
      });
      for_each_context([&](context& each) { each.faults.check(context_.stream); });
    });
  }

  int64_t workspace_bytes() const override {
    return context_.workspace_bytes() + (communication_ ? communication_->workspace_bytes() : 0) +
           captures_->bytes() + input_lane_->bytes();
  }

  std::unique_ptr<kernel> prepare(int op, const void* args, lane on) override {
    return translated([&] { return kernels()[size_t(op)](args, context_of(on)); });
  }

  std::unique_ptr<kernel> prepare_wait(lane waiting) override {
    return translated([&] {
      const lane awaited = waiting == lane::compute ? lane::communication : lane::compute;
      return std::make_unique<lane_wait>(context_of(waiting).stream, context_of(awaited).stream);
    });
  }

  // If capture fails, the caller keeps launching kernel by kernel.
  std::unique_ptr<kernel> capture(std::span<kernel* const> all) override {
    if (!captures_programs_) return nullptr;
    try {
      return translated([&] {
        for (kernel* each : all) each->before_capture();
        // Copies that these queue on the other lane come before the first replay.
        if (communication_) lane_wait(context_.stream, communication_->stream).run();
        const std::lock_guard lock(memory_mutex_);
        auto recorded = device::recording::of(context_.stream, [&] {
          for (kernel* each : all) each->run();
        });
        return std::make_unique<captured>(captures_, context_.stream, std::move(recorded));
      });
    } catch (const device_lost_error&) {
      throw;
    } catch (const error& failure) {
      capture_failure_ = failure.what();
      return nullptr;
    }
  }
  std::string capture_failure() const override { return capture_failure_; }

  void close() noexcept override {
    captures_->free();
    for_each_context([](context& each) {
      each.scratch.free();
      each.gemm_workspace.free();
    });
    staging_.free();
    input_lane_->free();
  }

  double time(kernel& work) override {
    return translated([&] { return stopwatch_.seconds(context_.stream, 1, [&] { work.run(); }); });
  }

 private:
  /// The other lane's is made when an op is first prepared for it.
  context& context_of(lane on) {
    if (on == lane::compute) return context_;
    if (!communication_) {
      auto made = std::make_unique<context>();
      made->properties = context_.properties;
      made->blas = context_.blas;
      made->synchronous = context_.synchronous;
      made->stream = device::make_stream();
      communication_ = std::move(made);
    }
    return *communication_;
  }
  template <class Visit> void for_each_context(const Visit& visit) {
    visit(context_);
    if (communication_) visit(*communication_);
  }

  void check_free(int64_t bytes) const {
    const device::selected_device here(index_);
    const int64_t free = std::max<int64_t>(0, device::free_bytes() - promised_);
    if (free < bytes) throw out_of_memory(bytes, free);
  }
  out_of_memory_error out_of_memory(int64_t bytes, int64_t free) const {
    const std::string needed = std::to_string(bytes), left = std::to_string(free);
    return {"out of GPU memory: " + needed + " bytes are needed, " + left + " of " +
                std::to_string(identity_.memory_bytes) + " are free",
            {{"needed", needed}, {"free", left}}};
  }

  const int index_;
  device::identity identity_;
  context context_;
  std::unique_ptr<context> communication_;
  staging staging_;
  std::unique_ptr<input_lane> input_lane_;
  std::mutex memory_mutex_;  // a recording measures the memory that it takes
  mutable std::mutex promise_mutex_;
  int64_t promised_ = 0;
  device::event finished_;
  stopwatch stopwatch_;
  std::shared_ptr<captures> captures_ = std::make_shared<captures>();
  // EVA_CLIP_CUDA_SYNC waits for each op, which a capture does not allow.
  const bool captures_programs_ =
      is_set("EVA_CLIP_CUDA_GRAPHS", true) && !is_set("EVA_CLIP_CUDA_SYNC", false);
  std::string capture_failure_ =
      captures_programs_ ? "" : "disabled by EVA_CLIP_CUDA_GRAPHS or EVA_CLIP_CUDA_SYNC";
};

}  // namespace

std::unique_ptr<backend> open(int index) {
  return translated([&] {
    expect_usable(index);
    // The caller may use another device. This one must be current from the construction of the first member
    // on.
    const device::selected_device here(index);
    return std::make_unique<cuda_backend>(index);
  });
}

}  // namespace eva::cuda

// The symbols that the addon looks up in this library (runtime/backend_library.h).
extern "C" {

[[gnu::visibility("default")]] extern const eva::backend_interface eva_clip_backend_interface =
    eva::backend_interface_of(eva::ops::fingerprint);

[[gnu::visibility("default")]] eva::backend* eva_clip_open_backend(int index) {
  return eva::cuda::open(index).release();
}
}
