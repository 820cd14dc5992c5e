#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace eva {

/// One op application, prepared for a device. Reads its tensors' addresses each time it runs.
struct kernel {
  virtual ~kernel() = default;
  virtual void run() = 0;
};

/// A device as the graph and the runtime see it: memory, copies, and a table of ops. Everything but `info` is
/// called on the device's own thread, or before that thread has work.
struct backend {
  struct description {
    std::string kind;             // "cpu" or "cuda"
    std::string name;             // the processor
    std::string instruction_set;  // "x86-64-v4", "sm_90a", …
    std::string library;          // who multiplies matrices
    int threads = 1;
    std::string driver;        // of a GPU
    int64_t memory_bytes = 0;  // of a GPU
  };

  virtual ~backend() = default;
  virtual description info() const = 0;

  /// Called once, on the device's thread, before any kernel runs there.
  virtual void enter_thread() = 0;

  /// Throws out_of_memory_error with what was wanted and what was free.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void release(void* memory, int64_t bytes) noexcept = 0;
  /// Throws out_of_memory_error when `bytes` more cannot be had. From any thread.
  virtual void expect_free(int64_t) const {}
  /// Puts the bytes from `begin` to `end` of a whole where it is told; begin is a multiple of 64.
  using producer = std::function<void(int64_t begin, int64_t end, std::byte* to)>;
  /// Fills device memory with what `produce` gives for each part, perhaps on several threads at once. Throws
  /// what it throws.
  virtual void fill(void* device, int64_t bytes, const producer& produce) = 0;
  virtual void read(void* host, const void* device, int64_t bytes) = 0;

  void write(void* device, const void* host, int64_t bytes) {
    fill(device, bytes, [host](int64_t begin, int64_t end, std::byte* to) {
      std::memcpy(to, static_cast<const std::byte*>(host) + begin, size_t(end - begin));
    });
  }

  /// Waits until the device has done everything that it was given. Throws data_error for an index out of
  /// range where kernels could not.
  virtual void finish() = 0;

  /// What kernels of a GPU hold for their own use while they run, beside the arena.
  virtual int64_t workspace_bytes() const { return 0; }

  /// Prepares the op with this position in ops::all_ops. `args` is its args struct, whose tensors already
  /// have addresses; it outlives the kernel.
  virtual std::unique_ptr<kernel> prepare(int op, const void* args) = 0;

  /// One kernel that does what these do, in their order and at the addresses that their tensors have now;
  /// null where the device has nothing faster than running them one by one. Each has run before.
  virtual std::unique_ptr<kernel> capture(std::span<const std::unique_ptr<kernel>>) { return nullptr; }

  /// Why programs run kernel by kernel although `capture` could be expected to work; empty otherwise.
  virtual std::string capture_failure() const { return {}; }

  /// Runs a kernel, and says how many seconds it took the device.
  virtual double time(kernel& work) = 0;

  /// Frees what kernels held for their own use, pinned memory included. No kernel runs afterwards; releasing
  /// memory is still allowed. On the device's thread, or when that has ended; repeated calls do nothing.
  virtual void close() noexcept {}
};

}  // namespace eva
