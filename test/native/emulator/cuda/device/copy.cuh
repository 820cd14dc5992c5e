#pragma once
// Host implementation of csrc/cuda/device/copy.cuh: an asynchronous copy is performed when it is waited for.

#include <cstring>

#include "cuda/device/shared.cuh"
#include "cuda/device/vector.cuh"

namespace eva::cuda::device {

template <class T> vector16 load_16(const T* source, location where = location::current()) {
  if (reinterpret_cast<uintptr_t>(source) % 16 != 0) emulator::current().fail("misaligned load_16", where);
  vector16 value;
  std::memcpy(&value, source, 16);
  return value;
}

inline int load_constant(const int* source) { return *source; }

inline pair load_constant_8(const float* source, location where = location::current()) {
  if (reinterpret_cast<uintptr_t>(source) % 8 != 0)
    emulator::current().fail("misaligned load_constant_8", where);
  return {source[0], source[1]};
}

template <class T> vector16 load_constant_16(const T* source, location where = location::current()) {
  return load_16(source, where);
}

template <class T> void store_16(T* destination, vector16 value, location where = location::current()) {
  if (reinterpret_cast<uintptr_t>(destination) % 16 != 0)
    emulator::current().fail("misaligned store_16", where);
  std::memcpy(destination, &value, 16);
}

template <class T> vector16 load_16_once(const T* source, location where = location::current()) {
  return load_16(source, where);
}
template <class T> void store_16_once(T* destination, vector16 value, location where = location::current()) {
  store_16(destination, value, where);
}

template <class T> void store_4(T* destination, uint32_t value, location where = location::current()) {
  if (reinterpret_cast<uintptr_t>(destination) % 4 != 0)
    emulator::current().fail("misaligned store_4", where);
  std::memcpy(destination, &value, 4);
}

template <class T>
void copy_async_16(shared_array<T> destination, int element, const T* source, bool valid,
                   location where = location::current()) {
  emulator::current().copy_async(destination.offset(element), source, valid, where);
}

inline void copy_commit() { emulator::current().copy_commit(); }

template <int PendingGroups> void copy_wait(location where = location::current()) {
  emulator::current().copy_wait(PendingGroups, where);
}

}  // namespace eva::cuda::device
