#pragma once
// Wide global accesses and asynchronous copies from global to shared memory (sm_80, cp.async).

#include <cstdint>

#include "cuda/device/shared.cuh"
#include "cuda/device/vector.cuh"

namespace eva::cuda::device {

template <class T> __device__ vector16 load_16(const T* source) {
  return *reinterpret_cast<const vector16*>(source);
}

// Through the read-only cache: of memory that nothing writes while the kernel runs. Unlike other loads, the
// compiler may move these across barriers and asynchronous copies.
__device__ inline int load_constant(const int* source) { return __ldg(source); }
__device__ inline pair load_constant_8(const float* source) {
  const float2 two = __ldg(reinterpret_cast<const float2*>(source));
  return {two.x, two.y};
}
template <class T> __device__ vector16 load_constant_16(const T* source) {
  const uint4 words = __ldg(reinterpret_cast<const uint4*>(source));
  return {{words.x, words.y, words.z, words.w}};
}

template <class T> __device__ void store_16(T* destination, vector16 value) {
  *reinterpret_cast<vector16*>(destination) = value;
}

// For data that is accessed only once: the caches evict it first.
template <class T> __device__ vector16 load_16_once(const T* source) {
  const uint4 v = __ldcs(reinterpret_cast<const uint4*>(source));
  return {{v.x, v.y, v.z, v.w}};
}
template <class T> __device__ void store_16_once(T* destination, vector16 value) {
  __stcs(reinterpret_cast<uint4*>(destination),
         make_uint4(value.words[0], value.words[1], value.words[2], value.words[3]));
}

template <class T> __device__ void store_4(T* destination, uint32_t value) {
  *reinterpret_cast<uint32_t*>(destination) = value;
}

// Starts an asynchronous copy of 16 bytes to destination[element…], or of zeros if !valid (source is then not
// read). Visible to the thread after copy_wait, to the block after a barrier that follows it. Fetches the
// whole 128 bytes around it into L2: rows are read chunk by chunk.
template <class T>
__device__ void copy_async_16(shared_array<T> destination, int element, const T* source, bool valid) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(destination.data + element));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(address), "l"(source),
               "r"(valid ? 16 : 0)
               : "memory");
}

__device__ inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the PendingGroups newest groups of this thread are in flight.
template <int PendingGroups> __device__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PendingGroups) : "memory");
}

}  // namespace eva::cuda::device
