#pragma once
// The host's words: the device's properties, its memory, and the stream that kernels are queued on. No kernel
// and no CUDA keyword here, so that host compilers read this file as well.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

namespace eva::cuda::device {

using stream = cudaStream_t;

/// Whether every later call of this process on the GPU fails as well.
constexpr bool is_lasting(cudaError_t status) {
  switch (status) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

/// What the driver reports, with its own words.
struct error : std::runtime_error {
  explicit error(cudaError_t status)
      : std::runtime_error(cudaGetErrorString(status)),
        out_of_memory(status == cudaErrorMemoryAllocation),
        lasting(is_lasting(status)) {}
  bool out_of_memory, lasting;
};

inline void expect_success(cudaError_t status) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // or the next launch would report it again
  throw error(status);
}

struct properties {
  int multiprocessors;
  int shared_bytes_per_block;  // that a kernel may ask for
};

inline properties current_properties() {
  int device = 0;
  properties p{};
  expect_success(cudaGetDevice(&device));
  expect_success(cudaDeviceGetAttribute(&p.multiprocessors, cudaDevAttrMultiProcessorCount, device));
  expect_success(
      cudaDeviceGetAttribute(&p.shared_bytes_per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return p;
}

inline void synchronize(stream on) { expect_success(cudaStreamSynchronize(on)); }

/// Copies to device memory behind the work that `on` has; `source` must stay until a graph that captured this
/// has run for the last time.
inline void upload(void* destination, const void* source, size_t bytes, stream on) {
  expect_success(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyHostToDevice, on));
}

/// Device memory that belongs to one object.
class buffer {
 public:
  buffer() = default;
  explicit buffer(size_t bytes) { expect_success(cudaMalloc(&data_, bytes)); }
  buffer(buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  buffer& operator=(buffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~buffer() { cudaFree(data_); }

  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

template <class T> struct managed_allocator {
  using value_type = T;
  managed_allocator() = default;
  template <class U> managed_allocator(const managed_allocator<U>&) {}
  T* allocate(size_t count) {
    void* memory = nullptr;
    if (cudaMallocManaged(&memory, count * sizeof(T)) != cudaSuccess) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { cudaFree(memory); }
  bool operator==(const managed_allocator&) const { return true; }
};

/// Memory that both sides can read, for tests.
template <class T> using vector = std::vector<T, managed_allocator<T>>;

/// Extra bank passes of the last launch's matrix loads: only the emulator counts them.
inline long matrix_bank_conflicts() { return 0; }

/// Threads, warps and blocks in the other order: only the emulator can.
inline void reverse_order(bool) {}

}  // namespace eva::cuda::device
