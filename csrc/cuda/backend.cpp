#include "cuda/backend.h"

#include <cstdlib>
#include <mutex>
#include <optional>
#include <set>

#include "cuda/failure.h"
#include "cuda/linear/gemm.h"
#include "cuda/staging.h"
#include "cuda/table.h"
#include "ops/fingerprint.h"
#include "runtime/backend_library.h"

namespace eva::cuda {
namespace {

/// Ampere: bf16 tensor cores and asynchronous copies to shared memory.
constexpr int min_capability = 80;

std::string cuda_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

[[noreturn]] void refuse(const std::string& message, const std::string& needed, const std::string& found) {
  throw device_error(message, {{"needed", needed}, {"found", found}});
}

int device_count() {
  try {
    return device::device_count();
  } catch (const device::error& failure) {
    const std::string reason = failure.what();
    refuse("the NVIDIA driver gives no access to a GPU: " + reason, "a GPU", reason);
  }
}

/// Whether an environment variable is set to something other than 0; `otherwise` if it is not set.
bool is_set(const char* name, bool otherwise) {
  const char* value = std::getenv(name);
  if (!value || !*value) return otherwise;
  return std::string(value) != "0";
}

/// The captured programs of a device. They hold device memory until they are destroyed or the device is
/// closed.
struct captures {
  std::mutex mutex;
  std::set<std::optional<device::recording>*> all;

  int64_t bytes() {
    const std::lock_guard lock(mutex);
    int64_t sum = 0;
    for (const auto* each : all) sum += *each ? (*each)->bytes() : 0;
    return sum;
  }
  void free() {
    const std::lock_guard lock(mutex);
    for (auto* each : all) each->reset();
  }
};

class captured final : public kernel {
 public:
  captured(std::shared_ptr<captures> owner, device::stream on, device::recording recorded)
      : owner_(std::move(owner)), on_(on), work_(std::move(recorded)) {
    const std::lock_guard lock(owner_->mutex);
    owner_->all.insert(&work_);
  }
  ~captured() override {
    const std::lock_guard lock(owner_->mutex);
    owner_->all.erase(&work_);
  }

  void run() override {
    if (!work_) throw disposed_error("the device");
    translated([&] { work_->replay(on_); }, "a captured program");
  }

 private:
  std::shared_ptr<captures> owner_;
  device::stream on_;
  std::optional<device::recording> work_;
};

device::identity find_device() {
  const int driver = device::driver_version();
  const std::string needed =
      "a driver for CUDA " + cuda_version(device::built_version / 1000 * 1000) + " or newer";
  if (driver == 0)
    refuse("no NVIDIA driver was found (libcuda.so.1); " + needed + " is needed", needed, "no driver");
  if (driver / 1000 < device::built_version / 1000) {
    const std::string found = "a driver for CUDA " + cuda_version(driver);
    refuse("the NVIDIA driver is too old: " + needed + " is needed, found " + found, needed, found);
  }
  if (device_count() == 0)
    refuse("the NVIDIA driver reports no GPU (CUDA_VISIBLE_DEVICES may hide it)", "a GPU", "none");
  device::identity found = device::first_device();
  if (const int capability = 10 * found.major + found.minor; capability < min_capability) {
    const std::string version = std::to_string(found.major) + "." + std::to_string(found.minor);
    refuse(found.name + " has compute capability " + version + "; 8.0 (Ampere) or newer is needed", "8.0",
           version);
  }
  return found;
}

class cuda_backend final : public backend {
 public:
  cuda_backend() : identity_(find_device()) {
    context_.blas = blas_library::open();
    context_.stream = device::make_stream();
    context_.properties = device::current_properties();
    context_.synchronous = is_set("EVA_CLIP_CUDA_SYNC", false);
  }
  ~cuda_backend() override {
    cuda_backend::close();
    device::destroy(context_.stream);
  }

  description info() const override {
    return {.kind = "cuda",
            .name = identity_.name,
            .instruction_set = "sm_" + std::to_string(10 * identity_.major + identity_.minor),
            .library = context_.blas->description(),
            .threads = 1,
            .driver = "for CUDA " + cuda_version(device::driver_version()),
            .memory_bytes = identity_.memory_bytes};
  }

  void enter_thread() override {
    translated([] { device::enter_first_device(); });
  }

  void* allocate(int64_t bytes) override {
    return translated([&] {
      const device::on_first_device here;
      if (void* memory = device::allocate(bytes == 0 ? 1 : bytes)) return memory;
      throw out_of_memory(bytes, device::free_bytes());
    });
  }
  void expect_free(int64_t bytes) const override {
    translated([&] {
      const device::on_first_device here;
      if (const int64_t free = device::free_bytes(); free < bytes) throw out_of_memory(bytes, free);
    });
  }
  void release(void* memory, int64_t) noexcept override { device::release(memory); }

  void fill(void* memory, int64_t bytes, const producer& produce) override {
    translated([&] { staging_.fill(memory, bytes, produce, context_.stream); });
  }
  void read(void* host, const void* memory, int64_t bytes) override {
    translated([&] { staging_.read(host, memory, bytes, context_.stream); });
  }
  void finish() override {
    translated([&] {
      context_.faults.fetch(context_.stream);
      device::synchronize(context_.stream);
      context_.faults.check(context_.stream);
    });
  }

  int64_t workspace_bytes() const override {
    return context_.scratch.bytes() + context_.gemm_workspace.bytes() + captures_->bytes();
  }

  std::unique_ptr<kernel> prepare(int op, const void* args) override {
    return translated([&] { return kernels()[size_t(op)](args, context_); });
  }

  // If capture fails, the caller keeps launching kernel by kernel.
  std::unique_ptr<kernel> capture(std::span<const std::unique_ptr<kernel>> all) override {
    if (!captures_programs_) return nullptr;
    try {
      return translated([&] {
        auto recorded = device::recording::of(context_.stream, [&] {
          for (const auto& each : all) each->run();
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
    context_.scratch.free();
    context_.gemm_workspace.free();
    staging_.free();
  }

  double time(kernel& work) override {
    return translated([&] {
      before_.record(context_.stream);
      work.run();
      after_.record(context_.stream);
      after_.wait();
      return after_.seconds_since(before_);
    });
  }

 private:
  out_of_memory_error out_of_memory(int64_t bytes, int64_t free) const {
    const std::string needed = std::to_string(bytes), left = std::to_string(free);
    return {"out of GPU memory: " + needed + " bytes are needed, " + left + " of " +
                std::to_string(identity_.memory_bytes) + " are free",
            {{"needed", needed}, {"free", left}}};
  }

  device::identity identity_;
  context context_;
  staging staging_;
  device::event before_{true}, after_{true};
  std::shared_ptr<captures> captures_ = std::make_shared<captures>();
  // EVA_CLIP_CUDA_SYNC waits for each op, which a capture does not allow.
  const bool captures_programs_ =
      is_set("EVA_CLIP_CUDA_GRAPHS", true) && !is_set("EVA_CLIP_CUDA_SYNC", false);
  std::string capture_failure_ =
      captures_programs_ ? "" : "disabled by EVA_CLIP_CUDA_GRAPHS or EVA_CLIP_CUDA_SYNC";
};

}  // namespace

std::unique_ptr<backend> open() {
  return translated([] {
    // The caller may use another device. Device 0 must be current from the construction of the first member
    // on.
    const device::on_first_device here;
    return std::make_unique<cuda_backend>();
  });
}

}  // namespace eva::cuda

// The symbols that the addon looks up in this library (runtime/backend_library.h).
extern "C" {

[[gnu::visibility("default")]] extern const eva::backend_interface eva_clip_backend_interface =
    eva::backend_interface_of(eva::ops::fingerprint);

[[gnu::visibility("default")]] eva::backend* eva_clip_open_backend() { return eva::cuda::open().release(); }
}
