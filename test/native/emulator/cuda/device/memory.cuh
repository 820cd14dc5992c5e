#pragma once
// Host implementation of csrc/cuda/device/memory.cuh: device memory is host memory.

#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "block.h"
#include "commands.h"

namespace eva::cuda::device {

using stream = void*;

struct error : std::runtime_error {
  error(const char* message, bool of_memory, bool is_sticky = false)
      : std::runtime_error(message), out_of_memory(of_memory), sticky(is_sticky) {}
  bool out_of_memory, sticky;
};

struct properties {
  int multiprocessors;
  int shared_bytes_per_block;
};

// Few SMs, so that small tensors need more than one wave of blocks.
inline properties current_properties() { return {3, 227 * 1024}; }

inline void synchronize(stream) {
  if (emulator::recorded) throw error("operation not permitted when stream is capturing", false);
}

inline void upload(void* destination, const void* source, size_t bytes, stream) {
  if (bytes == 0) return;
  emulator::submit([=] { std::memcpy(destination, source, bytes); });
}

class buffer {
 public:
  buffer() = default;
  explicit buffer(size_t bytes) {
    if (emulator::recorded) throw error("operation not permitted when stream is capturing", false);
    if (emulator::fails(emulator::failing_allocation)) throw error("out of memory", true);
    data_.reset(new (std::align_val_t(256)) std::byte[bytes]);
  }

  void* data() const { return data_.get(); }

 private:
  struct release {
    void operator()(std::byte* memory) const { operator delete[](memory, std::align_val_t(256)); }
  };
  std::unique_ptr<std::byte[], release> data_;
};

template <class T> using vector = std::vector<T>;  // exact size, followed by AddressSanitizer's red zone

inline long ldmatrix_bank_conflicts() { return emulator::ldmatrix_bank_conflicts; }

inline void reverse_order(bool reversed) { emulator::reversed = reversed; }

}  // namespace eva::cuda::device
