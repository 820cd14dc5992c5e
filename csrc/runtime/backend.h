#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/lane.h"

namespace eva {

/// One op application, prepared for a device. Reads its tensors' addresses each time it runs.
struct kernel {
  virtual ~kernel() = default;
  virtual void run() = 0;
  /// What the next run needs and a capture must not contain, such as copies from pageable memory.
  virtual void before_capture() {}
};

/// Device memory for an input of a later run. It is filled beside the device's work, on the input lane: a
/// thread and a stream of their own.
struct input_slot {
  virtual ~input_slot() = default;
  /// Queues the copy of what `produce` writes (see backend::fill), after the copies that copy_to queued. On
  /// the lane's thread.
  virtual void fill(const std::function<void(int64_t begin, int64_t end, std::byte* to)>& produce) = 0;
  /// Queues the copy to `place`, before all work that is queued later and after that of fill, which has
  /// returned. On the device's thread.
  virtual void copy_to(void* place) = 0;
};

/// Interface to a device: memory, copies and kernels. Unless noted otherwise, everything but `info` is called
/// on the device's thread, or before that thread has work.
struct backend {
  struct description {
    std::string kind;             // "cpu" or "cuda"
    std::string name;             // the processor
    std::string instruction_set;  // "x86-64-v4", "sm_90a", …
    std::string library;          // GEMM library
    int threads = 1;
    std::string driver;        // of a GPU
    int64_t memory_bytes = 0;  // of a GPU
  };

  virtual ~backend() = default;
  virtual description info() const = 0;

  /// Called once, on the device's thread, before any kernel runs there.
  virtual void enter_thread() = 0;

  /// Throws out_of_memory_error with the bytes needed and free.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void release(void* memory, int64_t bytes) noexcept = 0;
  /// Throws out_of_memory_error if `bytes` more cannot be allocated. From any thread.
  virtual void expect_free(int64_t) const {}
  /// Reserves `bytes` for a later `allocate`, right before which the caller withdraws the promise; throws
  /// out_of_memory_error. False where `allocate` is quick enough for any thread. Both from any thread.
  virtual bool promise(int64_t) { return false; }
  virtual void withdraw(int64_t) noexcept {}
  /// Writes bytes [begin, end) to `to`; begin is a multiple of 64.
  using producer = std::function<void(int64_t begin, int64_t end, std::byte* to)>;
  /// Fills device memory by calling `produce` for each part of it, possibly on several threads at once.
  /// Rethrows its exceptions.
  virtual void fill(void* device, int64_t bytes, const producer& produce) = 0;
  /// `host` holds the bytes after finish(), and must be valid until then.
  virtual void read(void* host, const void* device, int64_t bytes) = 0;

  void write(void* device, const void* host, int64_t bytes) {
    fill(device, bytes, [host](int64_t begin, int64_t end, std::byte* to) {
      std::memcpy(to, static_cast<const std::byte*>(host) + begin, size_t(end - begin));
    });
  }

  /// Whether inputs can be copied beside the device's work; otherwise runs read them from host memory.
  virtual bool has_input_lane() const { return false; }
  /// Throws as allocate does. On the lane's thread; must be destroyed before the backend.
  virtual std::unique_ptr<input_slot> make_input_slot(int64_t) { return nullptr; }

  /// Waits until the device has finished all submitted work. Throws data_error for an index out of range that
  /// a kernel found but could not throw.
  virtual void finish() = 0;

  /// Bytes of the workspace of a GPU's kernels and of its input slots, in addition to the arena.
  virtual int64_t workspace_bytes() const { return 0; }

  /// Prepares the op with this position in ops::all_ops for a lane. `args` is its args struct, whose tensors
  /// already have addresses; it outlives the kernel.
  virtual std::unique_ptr<kernel> prepare(int op, const void* args, lane on) = 0;

  /// Prepares a wait of a lane for what has been run on the other one. Null if ops run one after another,
  /// whatever their lane.
  virtual std::unique_ptr<kernel> prepare_wait(lane) { return nullptr; }

  /// Captures kernels, each of which has run before, as one kernel that runs them at the current addresses of
  /// their tensors: those of a lane in order, and the compute lane's last, after everything. Null if the
  /// device cannot capture them.
  virtual std::unique_ptr<kernel> capture(std::span<kernel* const>) { return nullptr; }

  /// Why `capture` returned null on a device that supports capturing; empty otherwise.
  virtual std::string capture_failure() const { return {}; }

  /// Runs a kernel and returns its time on the device in seconds.
  virtual double time(kernel& work) = 0;

  /// Frees the kernels' workspace and pinned memory. No kernel may run afterwards; memory may still be
  /// released. On the device's thread, or after it has ended. Idempotent.
  virtual void close() noexcept {}
};

}  // namespace eva
