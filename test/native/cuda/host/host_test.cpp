// The host code of the CUDA backend with injected failures: the state after an error, the device on which
// objects are made, and the memory that is freed.
#include <cstdlib>
#include <functional>
#include <thread>

#include "../../check.h"
#include "core/error.h"
#include "cuda/backend.h"
#include "cuda/context.h"
#include "cuda/device/launch.cuh"
#include "cuda/failure.h"
#include "cuda/linear/gemm.h"
#include "cuda/table.h"
#include "failures.h"

namespace eva::cuda {

/// The only op: it takes a workspace and launches a kernel.
struct only_op final : kernel {
  explicit only_op(context& c) : on(c) {}
  void run() override {
    translated([&] {
      on.scratch.take<float>(1000);
      device::launch(
          +[] {}, 1, 32, 0, on.stream);
    });
  }
  context& on;
};

std::span<const prepare_function> kernels() {
  static constexpr prepare_function all[] = {
      [](const void*, context& c) -> std::unique_ptr<kernel> { return std::make_unique<only_op>(c); }};
  return all;
}

void delay(device::stream) {}

std::shared_ptr<blas_library> blas_library::open() {
  struct none final : blas_library {
    std::string description() const override { return "none"; }
  };
  return std::make_shared<none>();
}

}  // namespace eva::cuda

namespace {

using namespace eva;
using namespace eva::test;

/// The code and message of what body throws.
std::pair<std::string, std::string> thrown(const std::function<void()>& body) {
  try {
    body();
  } catch (const error& e) {
    return {e.code, e.what()};
  }
  return {};
}

void errors_do_not_affect_later_calls() {
  const auto on = cuda::open();
  const auto work = on->prepare(0, nullptr, lane::compute);
  std::vector<std::byte> bytes(100);
  void* memory = on->allocate(100);
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"cudaMalloc", [&] { on->allocate(10); }},
      {"cudaMalloc", [&] { work->run(); }},  // its workspace
      {"cudaMallocHost", [&] { on->write(memory, bytes.data(), 100); }},
      {"cudaMemcpyAsync", [&] { on->write(memory, bytes.data(), 100); }},
      {"cudaEventRecord", [&] { on->write(memory, bytes.data(), 100); }},
      {"cudaMemcpyAsync", [&] { on->read(bytes.data(), memory, 100); }},
      {"cudaEventQuery", [&] { on->finish(); }},
      {"cudaEventElapsedTime", [&] { on->time(*work); }},
      {"launch", [&] { work->run(); }},
  };
  for (const auto& [function, call] : calls) {
    const std::string what = function;
    on->close();  // so that workspaces and slots are allocated again
    emulator::fail_nth(function, 1, cudaErrorMemoryAllocation);
    const auto [code, message] = thrown(call);
    check(code == "ERR_EVACLIP_OUT_OF_MEMORY", what + " gives " + code);
    check(emulator::last_error() == cudaSuccess, what + " leaves an error for the next launch");
    check(thrown([&] { work->run(); }).first.empty(), "a launch after " + what);
  }
  on->release(memory, 100);
}

void a_failed_workspace_is_not_counted() {
  const auto on = cuda::open();
  const auto work = on->prepare(0, nullptr, lane::compute);
  emulator::fail_nth("cudaMalloc", 1, cudaErrorMemoryAllocation);
  check(!thrown([&] { work->run(); }).first.empty(), "a workspace that is out of memory");
  check(on->workspace_bytes() == 0, "it is not counted");
  work->run();
  check(on->workspace_bytes() >= 4000, "it is allocated the next time");
}

void sticky_errors_have_their_own_code() {
  const auto on = cuda::open();
  const auto work = on->prepare(0, nullptr, lane::compute);
  emulator::fail_nth("launch", 1, cudaErrorInvalidValue);
  check(thrown([&] { work->run(); }).first == "ERR_EVACLIP_GPU", "a refused launch");
  emulator::fail_nth("launch", 1, cudaErrorIllegalAddress);
  check(thrown([&] { work->run(); }).first == "ERR_EVACLIP_DEVICE_LOST", "an illegal address");
}

void a_failed_capture_returns_null() {
  for (const char* function :
       {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "launch"}) {
    const auto on = cuda::open();
    const auto work = on->prepare(0, nullptr, lane::compute);
    kernel* const all[] = {work.get()};
    work->run();
    const int before = emulator::alive();
    emulator::fail_nth(function, 1, cudaErrorInvalidValue);
    check(on->capture(all) == nullptr, std::string("a capture with a failed ") + function);
    check(on->capture_failure().find("invalid argument") != std::string::npos, on->capture_failure());
    check(emulator::last_error() == cudaSuccess, std::string(function) + " leaves an error");
    check(emulator::alive() == before, std::string(function) + " leaks a graph");
    check(on->capture(all) != nullptr, "the next capture");
    emulator::fail_nth(function, 1, cudaErrorIllegalAddress);
    check(thrown([&] { on->capture(all); }).first == "ERR_EVACLIP_DEVICE_LOST",
          "a capture on a lost device throws");
  }
  setenv("EVA_CLIP_CUDA_GRAPHS", "0", 1);
  const auto on = cuda::open();
  check(on->capture({}) == nullptr && !on->capture_failure().empty(), "captures can be disabled");
  unsetenv("EVA_CLIP_CUDA_GRAPHS");
}

/// Of two; the threads' current device is the other one, as another library of the process may choose.
void all_objects_are_made_on_one_device(int index) {
  std::thread elsewhere([index] {
    const int other = 1 - index;
    cudaSetDevice(other);
    const int before = emulator::on_other_devices();
    const auto on = cuda::open(index);
    std::vector<std::byte> large(40 << 20);
    void* memory = on->allocate(int64_t(large.size()));
    int device = 0;
    cudaGetDevice(&device);
    check(device == other, "the caller's current device is unchanged");
    std::thread own([&] {
      cudaSetDevice(other);
      on->enter_thread();
      on->write(memory, large.data(), int64_t(large.size()));
      on->prepare(0, nullptr, lane::compute)->run();
      on->finish();
    });
    own.join();
    const int made = emulator::on_other_devices() - before;
    check(index == 0 ? made == 0 : made == emulator::alive(), std::to_string(made) + " objects on device 1");
    on->release(memory, int64_t(large.size()));
  });
  elsewhere.join();
}

void device_errors_keep_the_driver_message() {
  emulator::fail_nth("cudaGetDeviceCount", 1, cudaErrorSystemNotReady);
  const auto [code, message] = thrown([] { cuda::open(); });
  check(code == "ERR_EVACLIP_NO_DEVICE", code);
  check(message.find("system not yet initialized") != std::string::npos, message);
  check(emulator::last_error() == cudaSuccess, "the query leaves no error");
}

void close_frees_all_memory() {
  const int before = emulator::alive();
  {
    const auto on = cuda::open();
    const auto work = on->prepare(0, nullptr, lane::compute);
    kernel* const all[] = {work.get()};
    std::vector<std::byte> bytes(100);
    void* memory = on->allocate(100);
    const int opened = emulator::alive();
    on->write(memory, bytes.data(), 100);
    work->run();
    const auto captured = on->capture(all);
    captured->run();
    check(emulator::alive() > opened, "slots, a workspace and a graph");
    on->close();
    check(emulator::alive() == opened, "close() frees them");
    check(thrown([&] { captured->run(); }).first == "ERR_EVACLIP_DISPOSED",
          "a captured program of a closed device");
    on->release(memory, 100);
  }
  check(emulator::alive() == before,
        std::to_string(emulator::alive() - before) + " objects outlive their device");
}

}  // namespace

int main() {
  errors_do_not_affect_later_calls();
  a_failed_workspace_is_not_counted();
  sticky_errors_have_their_own_code();
  a_failed_capture_returns_null();
  all_objects_are_made_on_one_device(0);
  all_objects_are_made_on_one_device(1);
  const auto [code, message] = thrown([] { cuda::open(2); });
  check(code == "ERR_EVACLIP_NO_DEVICE" && message.find("no GPU 2") != std::string::npos, message);
  device_errors_keep_the_driver_message();
  close_frees_all_memory();
  return status();
}
