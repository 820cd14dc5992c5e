#pragma once
// Wide global accesses and asynchronous copies from global to shared memory (sm_80, cp.async).

#include <cstdint>

#include "cuda/device/shared.cuh"
#include "cuda/device/vector.cuh"

namespace eva::cuda::device {

template <class T> __device__ vector16 load_16(const T* source) {
  return *reinterpret_cast<const vector16*>(source);
}

template <class T> __device__ void store_16(T* destination, vector16 value) {
  *reinterpret_cast<vector16*>(destination) = value;
}

template <class T> __device__ void store_4(T* destination, uint32_t value) {
  *reinterpret_cast<uint32_t*>(destination) = value;
}

// Starts an asynchronous copy of 16 bytes to destination[element…], or of zeros if !valid (source is then not
// read). Visible to the thread after copy_wait, to the block after a barrier that follows it.
template <class T>
__device__ void copy_async_16(shared_array<T> destination, int element, const T* source, bool valid) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(destination.data + element));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(source),
               "r"(valid ? 16 : 0)
               : "memory");
}

__device__ inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the PendingGroups newest groups of this thread are in flight.
template <int PendingGroups> __device__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PendingGroups) : "memory");
}

}  // namespace eva::cuda::device
