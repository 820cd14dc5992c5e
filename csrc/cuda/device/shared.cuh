#pragma once
// Dynamic shared memory. Kernels access it only through these views, so that the emulator can check every
// access.

namespace eva::cuda::device {

extern __shared__ __align__(128) unsigned char dynamic_shared[];

template <class T> struct shared_array {
  T* data;

  __device__ T load(int i) const { return data[i]; }
  __device__ void store(int i, T value) const { data[i] = value; }

  // Reinterprets the bytes as another type, in whose elements i counts.
  template <class U> __device__ shared_array<U> as() const { return {reinterpret_cast<U*>(data)}; }
};

template <class T> __device__ shared_array<T> shared_at(int byte_offset) {
  return {reinterpret_cast<T*>(dynamic_shared + byte_offset)};
}

}  // namespace eva::cuda::device
