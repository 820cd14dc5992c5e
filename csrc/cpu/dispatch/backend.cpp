#include "cpu/dispatch/backend.h"

#include <dnnl.h>
#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <vector>

#include "core/error.h"
#include "cpu/table.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace eva::cpu {

// The kernels of each instruction set that this build has.
#if defined(__x86_64__)
namespace v2 {
kernel_table kernels();
}
namespace v3 {
kernel_table kernels();
}
namespace v4 {
kernel_table kernels();
}
#else
namespace generic {
kernel_table kernels();
}
#endif

namespace {

struct instruction_set {
  std::string name;
  bool available;
  kernel_table (*kernels)();
};

/// From the oldest to the newest.
std::vector<instruction_set> instruction_sets() {
#if defined(__x86_64__)
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512cd");
  return {{"v2", bool(__builtin_cpu_supports("sse4.2")), v2::kernels},
          {"v3", v3, v3::kernels},
          {"v4", v4, v4::kernels}};
#else
  return {{"generic", true, generic::kernels}};
#endif
}

instruction_set choose(const std::string& wanted) {
  const auto sets = instruction_sets();
  for (auto set = sets.rbegin(); set != sets.rend(); ++set)
    if (set->available && (wanted.empty() || set->name == wanted)) return *set;
  std::string available;
  for (const auto& set : sets)
    if (set.available) available += (available.empty() ? "" : ", ") + set.name;
  throw device_error("the processor cannot run " + (wanted.empty()
                                                        ? "x86-64-v2 code (SSE 4.2)"
                                                        : "instruction set " + wanted + "; it has " +
                                                              (available.empty() ? "none" : available)));
}

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
  void write(void* device, const void* host, int64_t bytes) override {
    std::memcpy(device, host, size_t(bytes));
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
