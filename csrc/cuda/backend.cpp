#include "cuda/backend.h"

#include "cuda/failure.h"
#include "cuda/linear/matrix_product.h"
#include "cuda/staging.h"
#include "cuda/table.h"
#include "ops/fingerprint.h"
#include "runtime/backend_library.h"

namespace eva::cuda {
namespace {

/// Tensor cores with bf16 and asynchronous copies came with Ampere.
constexpr int least_capability = 80;

std::string cuda_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

[[noreturn]] void refuse(const std::string& message, const std::string& needed, const std::string& found) {
  throw device_error(message, {{"needed", needed}, {"found", found}});
}

device::identity find_device() {
  const int driver = device::driver_version();
  const std::string needed =
      "a driver for CUDA " + cuda_version(device::built_version / 1000 * 1000) + " or newer";
  if (driver == 0)
    refuse("no NVIDIA driver was found (libcuda.so.1); " + needed + " is needed", needed, "no driver");
  if (driver / 1000 < device::built_version / 1000) {
    const std::string found = "a driver for CUDA " + cuda_version(driver);
    refuse("the NVIDIA driver is too old: " + needed + " is needed, this is " + found, needed, found);
  }
  if (device::device_count() == 0)
    refuse("the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES may hide it)", "a GPU", "none");
  device::identity found = device::first_device();
  if (const int capability = 10 * found.major + found.minor; capability < least_capability) {
    const std::string has = std::to_string(found.major) + "." + std::to_string(found.minor);
    refuse(found.name + " has compute capability " + has + "; 8.0 (Ampere) or newer is needed", "8.0", has);
  }
  return found;
}

class cuda_backend final : public backend {
 public:
  cuda_backend() : identity_(find_device()) {
    device::enter_first_device();
    context_.products = matrix_library::open();
    context_.stream = device::make_stream();
    context_.properties = device::current_properties();
  }
  ~cuda_backend() override { device::destroy(context_.stream); }

  description info() const override {
    return {.kind = "cuda",
            .name = identity_.name,
            .instruction_set = "sm_" + std::to_string(10 * identity_.major + identity_.minor),
            .library = context_.products->description(),
            .threads = 1,
            .driver = "for CUDA " + cuda_version(device::driver_version()),
            .memory_bytes = identity_.memory_bytes};
  }

  // A thread starts on device 0, which is ours.
  void enter_thread() override {}

  void* allocate(int64_t bytes) override {
    return translated([&] {
      if (void* memory = device::allocate(bytes == 0 ? 1 : bytes)) return memory;
      const int64_t available = device::free_bytes();
      throw out_of_memory_error(
          "out of GPU memory: " + std::to_string(bytes >> 20) + " MB wanted, " +
              std::to_string(available >> 20) + " MB of " + std::to_string(identity_.memory_bytes >> 20) +
              " MB free",
          {{"wantedBytes", std::to_string(bytes)}, {"availableBytes", std::to_string(available)}});
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
    return context_.scratch.bytes() + context_.product_scratch.bytes();
  }

  std::unique_ptr<kernel> prepare(int op, const void* args) override {
    return translated([&] { return kernels()[size_t(op)](args, context_); });
  }

  std::unique_ptr<kernel> capture(std::span<const std::unique_ptr<kernel>> all) override {
    return translated([&] {
      return std::make_unique<captured>(context_.stream, device::recording::of(context_.stream, [&] {
                                          for (const auto& each : all) each->run();
                                        }));
    });
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
  struct captured final : kernel {
    captured(device::stream stream, device::recording recorded) : on(stream), work(std::move(recorded)) {}
    void run() override {
      translated([&] { work.replay(on); });
    }

    device::stream on;
    device::recording work;
  };

  device::identity identity_;
  context context_;
  staging staging_;
  device::event before_, after_;
};

}  // namespace

std::unique_ptr<backend> open() {
  return translated([] { return std::make_unique<cuda_backend>(); });
}

}  // namespace eva::cuda

// What the addon looks for in this library (runtime/backend_library.h).
extern "C" {

[[gnu::visibility("default")]] extern const eva::backend_interface eva_clip_backend_interface =
    eva::backend_interface_of(eva::ops::fingerprint);

[[gnu::visibility("default")]] eva::backend* eva_clip_open_backend() { return eva::cuda::open().release(); }
}
