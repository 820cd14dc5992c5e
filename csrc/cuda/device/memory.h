#pragma once
// Host API: device properties, device memory, streams. No device code, so host compilers include it too.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

namespace eva::cuda::device {

using stream = cudaStream_t;

/// Whether the error is sticky: every later CUDA call of the process fails with it too.
constexpr bool is_sticky(cudaError_t status) {
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

/// A CUDA error, with the runtime's message.
struct error : std::runtime_error {
  explicit error(cudaError_t status)
      : std::runtime_error(cudaGetErrorString(status)),
        out_of_memory(status == cudaErrorMemoryAllocation),
        sticky(is_sticky(status)) {}
  bool out_of_memory, sticky;
};

inline void expect_success(cudaError_t status) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it; otherwise the next launch would report it again
  throw error(status);
}

struct properties {
  int multiprocessors;
  int shared_bytes_per_block;  // the opt-in maximum
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

/// Queues a copy to device memory. `source` must outlive the copy and every graph that captured it.
inline void upload(void* destination, const void* source, size_t bytes, stream on) {
  expect_success(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyHostToDevice, on));
}

/// Queues a copy within device memory.
inline void copy(void* destination, const void* source, size_t bytes, stream on) {
  expect_success(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDeviceToDevice, on));
}

/// Owns device memory.
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

/// Memory that host and device can access, for tests.
template <class T> using vector = std::vector<T, managed_allocator<T>>;

}  // namespace eva::cuda::device
