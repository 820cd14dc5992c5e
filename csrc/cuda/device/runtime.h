#pragma once
// Runtime primitives of the backend: device selection, pinned memory, copies, events and captured graphs. No
// device code, so host compilers include it too.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "cuda/device/memory.h"

namespace eva::cuda::device {

/// The newest CUDA version that the driver supports, as 1000 major + 10 minor; 0 without a driver.
inline int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

/// The CUDA version this library was built with.
inline constexpr int built_version = CUDART_VERSION;

/// The number of devices; throws if the driver cannot tell.
inline int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice) {
    cudaGetLastError();
    return 0;
  }
  expect_success(status);
  return count;
}

struct identity {
  std::string name;
  int major, minor;  // compute capability
  int64_t memory_bytes;
};

inline identity identity_of(int device) {
  cudaDeviceProp found;
  expect_success(cudaGetDeviceProperties(&found, device));
  return {found.name, found.major, found.minor, int64_t(found.totalGlobalMem)};
}

inline int current_device() {
  int device = 0;
  expect_success(cudaGetDevice(&device));
  return device;
}

/// Makes a device current on the calling thread.
inline void select_device(int device) { expect_success(cudaSetDevice(device)); }

/// Makes a device current on the calling thread while this object lives: the thread may belong to a caller
/// who uses another device.
class selected_device {
 public:
  explicit selected_device(int device) : before_(current_device()), selected_(device) {
    if (before_ != selected_) select_device(selected_);
  }
  selected_device(const selected_device&) = delete;
  ~selected_device() {
    if (before_ != selected_) cudaSetDevice(before_);
  }

 private:
  int before_, selected_;
};

inline stream make_stream() {
  stream made{};
  expect_success(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
  return made;
}
inline void destroy(stream on) noexcept { cudaStreamDestroy(on); }

/// Free device memory.
inline int64_t free_bytes() {
  size_t available = 0, total = 0;
  expect_success(cudaMemGetInfo(&available, &total));
  return int64_t(available);
}

/// Device memory; null on out of memory.
inline void* allocate(int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, size_t(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  expect_success(status);
  return memory;
}
inline void release(void* memory) noexcept { cudaFree(memory); }

/// Queues a copy to host memory; asynchronous only if that is pinned.
inline void download(void* host, const void* memory, size_t bytes, stream on) {
  expect_success(cudaMemcpyAsync(host, memory, bytes, cudaMemcpyDeviceToHost, on));
}

/// Owns page-locked host memory, which the device can access by DMA.
class pinned_buffer {
 public:
  explicit pinned_buffer(size_t bytes) { expect_success(cudaMallocHost(&data_, bytes)); }
  pinned_buffer(const pinned_buffer&) = delete;
  ~pinned_buffer() { cudaFreeHost(data_); }

  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

/// A point in a stream that the host can wait for and, if `timed`, measure times between.
class event {
 public:
  explicit event(bool timed = false) {
    const unsigned flags = cudaEventBlockingSync | (timed ? 0u : unsigned(cudaEventDisableTiming));
    expect_success(cudaEventCreateWithFlags(&event_, flags));
  }
  event(const event&) = delete;
  ~event() { cudaEventDestroy(event_); }

  void record(stream on) { expect_success(cudaEventRecord(event_, on)); }
  /// Returns immediately if it was never recorded. Polls for a moment, because waking up a thread that blocks
  /// takes longer than a short program.
  void wait() const {
    constexpr std::chrono::microseconds polled(100);
    const auto until = std::chrono::steady_clock::now() + polled;
    do {
      const cudaError_t status = cudaEventQuery(event_);
      if (status == cudaSuccess) return;
      if (status != cudaErrorNotReady) expect_success(status);
      cudaGetLastError();  // "not ready" is not an error
    } while (std::chrono::steady_clock::now() < until);
    expect_success(cudaEventSynchronize(event_));
  }
  /// Makes the work that is queued in the stream from now on wait; not if the event was never recorded.
  void block(stream on) const { expect_success(cudaStreamWaitEvent(on, event_, 0)); }
  /// Elapsed seconds since `start`; both events must have completed.
  double seconds_since(const event& start) const {
    float milliseconds = 0;
    expect_success(cudaEventElapsedTime(&milliseconds, start.event_, event_));
    return double(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// A captured CUDA graph, which can be launched any number of times.
class recording {
 public:
  /// Captures the work that `queue` submits to the stream. Other threads may use the device meanwhile.
  template <class Queue> static recording of(stream on, const Queue& queue) {
    expect_success(cudaStreamBeginCapture(on, cudaStreamCaptureModeThreadLocal));
    try {
      queue();
    } catch (...) {
      cudaGraph_t unfinished = nullptr;
      cudaStreamEndCapture(on, &unfinished);
      if (unfinished) cudaGraphDestroy(unfinished);
      cudaGetLastError();  // clears the error of the aborted capture
      throw;
    }
    cudaGraph_t graph = nullptr;
    expect_success(cudaStreamEndCapture(on, &graph));
    recording made;
    const int64_t free_before = free_bytes();
    const cudaError_t status = cudaGraphInstantiate(&made.executable_, graph, 0);
    cudaGraphDestroy(graph);
    expect_success(status);
    made.bytes_ = std::max<int64_t>(0, free_before - free_bytes());
    return made;
  }

  recording(recording&& other) noexcept
      : executable_(std::exchange(other.executable_, nullptr)), bytes_(other.bytes_) {}
  ~recording() {
    if (executable_) cudaGraphExecDestroy(executable_);
  }

  void replay(stream on) const { expect_success(cudaGraphLaunch(executable_, on)); }

  /// Device memory that instantiating it took, as far as the driver reports it.
  int64_t bytes() const { return bytes_; }

 private:
  recording() = default;

  cudaGraphExec_t executable_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace eva::cuda::device
