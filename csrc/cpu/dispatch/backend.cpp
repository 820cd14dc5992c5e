#include "cpu/dispatch/backend.h"

#include <dnnl.h>
#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <fstream>

#include "core/error.h"
#include "cpu/dispatch/instruction_set.h"

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

int64_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  for (int64_t kilobytes = 0; file >> word;)
    if (word == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
  return int64_t(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

/// Subnormal numbers cost a hundred times a normal one and mean nothing in training.
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

  void* allocate(int64_t bytes) override {
    if (bytes == 0) bytes = 1;
    // Linux grants more than there is and kills the process later; so ask first.
    constexpr int64_t worth_asking = int64_t(64) << 20;
    if (bytes >= worth_asking && bytes > available_bytes()) fail(bytes);
    void* memory = mmap(nullptr, size_t(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail(bytes);
    madvise(memory, size_t(bytes), MADV_HUGEPAGE);
    return memory;
  }

  void release(void* memory, int64_t bytes) noexcept override {
    munmap(memory, size_t(bytes == 0 ? 1 : bytes));
  }
  /// By all threads, straight into place: the first touch of a page costs more than the copy.
  void fill(void* device, int64_t bytes, const producer& produce) override {
    constexpr int64_t least = int64_t(1) << 20, most = int64_t(8) << 20;
    const int64_t part = std::clamp(bytes / (2 * context_.threads) / 64 * 64, least, most);
    const int64_t parts = (bytes + part - 1) / part;
    std::exception_ptr failure;
    std::atomic<bool> failed = false;
#pragma omp parallel for schedule(dynamic, 1) num_threads(context_.threads) if (parts > 1)
    for (int64_t i = 0; i < parts; ++i) {
      if (failed) continue;
      const int64_t begin = i * part, end = std::min(begin + part, bytes);
      try {
        produce(begin, end, static_cast<std::byte*>(device) + begin);
      } catch (...) {
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
  }
  void read(void* host, const void* device, int64_t bytes) override {
    std::memcpy(host, device, size_t(bytes));
  }

  void finish() override {}

  std::unique_ptr<kernel> prepare(int op, const void* args) override {
    return kernels_[size_t(op)](args, context_);
  }

  double time(kernel& work) override {
    using clock = std::chrono::steady_clock;
    const auto start = clock::now();
    work.run();
    return std::chrono::duration<double>(clock::now() - start).count();
  }

 private:
  [[noreturn]] static void fail(int64_t bytes) {
    const int64_t available = available_bytes();
    throw out_of_memory_error(
        "out of memory: " + std::to_string(bytes >> 20) + " MB wanted, " + std::to_string(available >> 20) +
            " MB available",
        {{"wantedBytes", std::to_string(bytes)}, {"availableBytes", std::to_string(available)}});
  }

  instruction_set set_;
  kernel_table kernels_;
  context context_;
};

}  // namespace

std::shared_ptr<backend> open(int threads, const std::string& instruction_set) {
  if (threads < 1) throw argument_error("threads must be at least 1, got " + std::to_string(threads));
  return std::make_shared<cpu_backend>(threads, choose(instruction_set));
}

}  // namespace eva::cpu
