#include "cpu/dispatch/backend.h"

#include <dnnl.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/first_failure.h"
#include "cpu/dispatch/instruction_set.h"
#include "cpu/dispatch/page_allocator.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace eva::cpu {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

/// Subnormals are about 100 times as slow as normal numbers and do not matter in training.
void flush_subnormals() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}

class cpu_backend final : public backend {
 public:
  cpu_backend(int threads, instruction_set set) : set_(std::move(set)), kernels_(set_.kernels()) {
    context_.threads = threads;
  }

  description info() const override {
    const dnnl_version_t* version = dnnl_version();
    return {"cpu",
            processor_name(),
            (set_.name == "generic" ? "" : "x86-64-") + set_.name,
            "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                std::to_string(version->patch),
            context_.threads,
            "",
            0};
  }

  void enter_thread() override {
    omp_set_num_threads(context_.threads);
#pragma omp parallel num_threads(context_.threads)
    flush_subnormals();
  }

  void* allocate(int64_t bytes) override { return allocate_pages(bytes); }
  void release(void* memory, int64_t bytes) noexcept override { release_pages(memory, bytes); }
  void expect_free(int64_t bytes) const override { cpu::expect_free(bytes); }
  /// All threads write in place, because the first touch of a page costs more than the copy.
  void fill(void* device, int64_t bytes, const producer& produce) override {
    constexpr int64_t least = int64_t(1) << 20, most = int64_t(8) << 20;
    const int64_t part = std::clamp(bytes / (2 * context_.threads) / 64 * 64, least, most);
    const int64_t parts = (bytes + part - 1) / part;
    first_failure failure;
#pragma omp parallel for schedule(dynamic, 1) num_threads(context_.threads) if (parts > 1)
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t begin = i * part, end = std::min(begin + part, bytes);
      failure.guard([&] { produce(begin, end, static_cast<std::byte*>(device) + begin); });
    }
    failure.rethrow();
  }
  void read(void* host, const void* device, int64_t bytes) override {
    if (bytes > 0) std::memcpy(host, device, size_t(bytes));  // memcpy requires non-null pointers
  }

  void finish() override {}

  std::unique_ptr<kernel> prepare(int op, const void* args, lane) override {
    return kernels_[size_t(op)](args, context_);
  }

  double time(kernel& work) override {
    using clock = std::chrono::steady_clock;
    const auto start = clock::now();
    work.run();
    return std::chrono::duration<double>(clock::now() - start).count();
  }

 private:
  instruction_set set_;
  kernel_table kernels_;
  context context_;
};

void expect_threads(int64_t threads) {
  const int64_t most = max_threads();
  if (threads >= 1 && threads <= most) return;
  const std::string bound = "from 1 to " + std::to_string(most), found = std::to_string(threads);
  throw argument_error("threads must be " + bound + ", found " + found,
                       {{"field", "threads"}, {"expected", bound}, {"actual", found}});
}

/// OpenMP exits the process if it cannot start a thread, so this first tries to start as many std::threads.
void try_threads(int64_t threads) {
  std::mutex all_started;
  std::vector<std::thread> others;
  others.reserve(size_t(threads));
  std::string failure;
  {
    const std::lock_guard hold(all_started);
    try {
      // `threads` includes the device's own thread.
      while (int64_t(others.size()) < threads)
        others.emplace_back([&all_started] { const std::lock_guard wait(all_started); });
    } catch (const std::system_error& cause) {
      failure = cause.what();
    }
  }
  const std::string needed = std::to_string(threads), found = std::to_string(others.size());
  for (std::thread& other : others) other.join();
  if (failure.empty()) return;
  throw device_error("cannot start " + needed + " threads, only " + found + " (" + failure +
                         "); see `ulimit -u` and the pids cgroup, or open the device with fewer threads",
                     {{"needed", needed}, {"found", found}});
}

}  // namespace

int64_t max_threads() { return std::max<int64_t>(64, 4 * std::thread::hardware_concurrency()); }

std::shared_ptr<backend> open(int64_t threads, const std::string& instruction_set) {
  expect_threads(threads);
  auto opened = std::make_shared<cpu_backend>(int(threads), choose(instruction_set));
  try_threads(threads);
  return opened;
}

}  // namespace eva::cpu
