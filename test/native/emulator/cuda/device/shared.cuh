#pragma once
// Host implementation of csrc/cuda/device/shared.cuh: the emulated block checks every access.

#include "cuda/device/thread.cuh"

namespace eva::cuda::device {

template <class T> struct shared_array {
  size_t byte_offset;

  size_t offset(int i) const { return byte_offset + static_cast<size_t>(i) * sizeof(T); }

  T load(int i, location where = location::current()) const {
    T value;
    emulator::current().read(offset(i), sizeof(T), &value, where);
    return value;
  }
  void store(int i, T value, location where = location::current()) const {
    emulator::current().write(offset(i), sizeof(T), &value, where);
  }
  template <class U> shared_array<U> as() const { return {byte_offset}; }
};

template <class T> shared_array<T> shared_at(int byte_offset) { return {static_cast<size_t>(byte_offset)}; }

}  // namespace eva::cuda::device
