#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "cpu/attention/small_gemm.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Bump allocator of matrices. Without memory it only counts, so that the code that lays out buffers also
/// computes their size.
class scratch_allocator {
 public:
  explicit scratch_allocator(float* memory = nullptr) : memory_(memory) {}

  matrix take(int64_t rows, int64_t columns) {
    // An odd number of cache lines per row, so that rows are spread over all sets of the cache.
    const int64_t stride = ((columns + line - 1) / line | 1) * line, begin = used_;
    used_ += rows * stride;
    return {memory_ ? memory_ + begin : nullptr, stride};
  }
  int64_t used() const { return used_; }

 private:
  static constexpr int64_t line = 16;  // floats in a cache line, and in the widest vector
  float* memory_;
  int64_t used_ = 0;
};

/// At least `floats` floats of thread-local scratch. It only grows, so that a steady step allocates nothing;
/// later calls may return the same memory.
inline float* thread_scratch(int64_t floats) {
  struct release {
    void operator()(float* memory) const { operator delete[](memory, std::align_val_t(64)); }
  };
  thread_local std::unique_ptr<float[], release> memory;
  thread_local int64_t size = 0;
  if (floats > size) {
    memory.reset();
    size = 0;
    memory.reset(static_cast<float*>(operator new[](size_t(floats) * sizeof(float), std::align_val_t(64))));
    size = floats;
    std::fill_n(memory.get(), floats, 0.0f);
  }
  return memory.get();
}

/// One set of buffers per thread of a parallel region, laid out by Buffers(scratch_allocator&, length,
/// head_dim).
template <class Buffers> class per_thread {
 public:
  per_thread(int threads, int64_t length, int64_t head_dim) : length_(length), head_dim_(head_dim) {
    scratch_allocator measure;
    Buffers(measure, length, head_dim);
    floats_ = measure.used();
    memory_ = thread_scratch(threads * floats_);
  }
  Buffers operator[](int thread) const {
    scratch_allocator part(memory_ + thread * floats_);
    return {part, length_, head_dim_};
  }

 private:
  int64_t length_, head_dim_, floats_;
  float* memory_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
