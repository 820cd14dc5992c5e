#include "cpu/gemm/activated_gemm.h"

#include "cpu/gemm/epilogue.h"
#include "cpu/parallel.h"

namespace eva::cpu::EVA_CLIP_ISA {

void activated_gemm::run(const gemm_operands& on) {
  void* pre = spec_.pre ? on.pre : on.c;
  gemm_->run({.a = on.a, .b = on.b, .c = pre, .bias = on.bias});
  spec_.c.type == dtype::f32 ? finish<float>(on, pre) : finish<bf16>(on, pre);
}

template <class T> void activated_gemm::finish(const gemm_operands& on, const void* pre) const {
  const int64_t rows = spec_.c.rows, columns = spec_.c.columns;
  const bool has_addend = spec_.addend.type != dtype::none;
  parallel_for(context{omp_get_max_threads()}, rows, std::max<int64_t>(1, 8192 / columns),
               [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row) {
                   const T* from = static_cast<const T*>(pre) + row * spec_.c.row_stride;
                   const T* added = has_addend
                                        ? static_cast<const T*>(on.addend) + row * spec_.addend.row_stride
                                        : nullptr;
                   T* to = static_cast<T*>(on.c) + row * spec_.c.row_stride;
                   sweep(columns, [&](int64_t j, auto width) {
                     vec x = activate(load(from + j, width), spec_.activation);
                     if (added) x += load(added + j, width);
                     store(to + j, x, width);
                   });
                 }
               });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
