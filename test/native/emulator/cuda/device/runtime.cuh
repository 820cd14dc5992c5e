#pragma once
// Host implementation of csrc/cuda/device/runtime.cuh: a device that is always available.

#include <chrono>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "commands.h"
#include "cuda/device/memory.cuh"

namespace eva::cuda::device {

inline int driver_version() { return 13000; }
inline constexpr int built_version = 13000;
inline int device_count() { return 1; }

struct identity {
  std::string name;
  int major, minor;
  int64_t memory_bytes;
};

inline constexpr int64_t emulated_bytes = int64_t(4) << 30;
inline identity first_device() { return {"the emulator", 8, 0, emulated_bytes}; }

inline void enter_first_device() {}
struct on_first_device {
  ~on_first_device() {}
};
inline stream make_stream() { return nullptr; }
inline void destroy(stream) noexcept {}

inline int64_t free_bytes() { return emulated_bytes; }

inline void* allocate(int64_t bytes) {
  if (bytes > emulated_bytes || emulator::fails(emulator::failing_allocation)) return nullptr;
  return operator new(size_t(bytes), std::align_val_t(256), std::nothrow);
}
inline void release(void* memory) noexcept { operator delete(memory, std::align_val_t(256)); }

inline void download(void* host, const void* memory, size_t bytes, stream) {
  emulator::submit([=] { std::memcpy(host, memory, bytes); });
}

class pinned_buffer {
 public:
  explicit pinned_buffer(size_t bytes) : bytes_(bytes) {}
  void* data() { return bytes_.data(); }

 private:
  std::vector<std::byte> bytes_;
};

class event {
 public:
  explicit event(bool = false) {}
  void record(stream) { at_ = std::chrono::steady_clock::now(); }
  void wait() const {}
  double seconds_since(const event& start) const {
    return std::chrono::duration<double>(at_ - start.at_).count();
  }

 private:
  std::chrono::steady_clock::time_point at_;
};

class recording {
 public:
  template <class Queue> static recording of(stream, const Queue& queue) {
    recording made;
    struct restore {
      ~restore() { emulator::recorded = nullptr; }
    } afterwards;
    emulator::recorded = &made.commands_;
    queue();
    if (emulator::fails(emulator::failing_capture)) throw error("the capture was aborted", false);
    return made;
  }

  int64_t bytes() const { return int64_t(commands_.size() * sizeof(emulator::command)); }

  void replay(stream) const {
    for (const emulator::command& work : commands_) work();
  }

 private:
  std::vector<emulator::command> commands_;
};

}  // namespace eva::cuda::device
