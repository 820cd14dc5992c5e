#pragma once

#include <algorithm>
#include <vector>

#include "core/tensor.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Column sums for kernels that split rows among threads: each thread has partial sums, which `write` adds in
/// the order of the threads. The memory is local to the calling thread and reused.
class column_sums {
 public:
  column_sums(const context& c, int64_t columns, int64_t sums)
      : columns_(columns), stride_((columns + 15) / 16 * 16), sums_(sums), threads_(c.threads) {
    thread_local std::vector<float> memory;
    memory.assign(size_t(threads_ * sums_ * stride_), 0.0f);
    data_ = memory.data();
  }

  /// Partial sums `sum` of the running thread, [columns].
  float* mine(int64_t sum) const { return part(omp_get_thread_num(), sum); }

  /// out [columns] = the totals of `sum`; does nothing if out is null.
  void write(int64_t sum, float* out) const { write(sum, 0, columns_, out); }

  /// The same for `count` columns from `first` on.
  void write(int64_t sum, int64_t first, int64_t count, float* out) const {
    if (out == nullptr) return;
    sweep(count, [&](int64_t i, auto width) {
      vec total = load(part(0, sum) + first + i, width);
      for (int64_t thread = 1; thread < threads_; ++thread)
        total += load(part(thread, sum) + first + i, width);
      store(out + i, total, width);
    });
  }

 private:
  float* part(int64_t thread, int64_t sum) const { return data_ + (thread * sums_ + sum) * stride_; }

  int64_t columns_, stride_, sums_, threads_;
  float* data_;
};

/// sums[j] += rows[0][j] + … + rows[Rows-1][j], in pairs: fewer passes over the sums, and fewer roundings.
template <int Rows, class T> void add_rows(float* sums, const T* rows, int64_t stride, int64_t columns) {
  sweep(columns, [&](int64_t j, auto width) {
    vec part[Rows];
    for (int r = 0; r < Rows; ++r) part[r] = load(rows + r * stride + j, width);
    for (int step = 1; step < Rows; step *= 2)
      for (int r = 0; r + step < Rows; r += 2 * step) part[r] += part[r + step];
    store(sums + j, load(sums + j, width) + part[0], width);
  });
}

/// sums [C] f32 = the column sums of x [..., C].
void sum_columns(const tensor& x, const tensor& sums, const context& c);

}  // namespace eva::cpu::EVA_CLIP_ISA
