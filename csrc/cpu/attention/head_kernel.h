#pragma once

#include "cpu/attention/batch.h"
#include "cpu/attention/scratch.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// What attention and its gradient have in common: a batch whose heads are computed one by one, in buffers of
/// the thread.
template <class Op, class Buffers> class head_kernel {
 public:
  head_kernel(const typename Op::args& a, context& c)
      : a_(a),
        c_(c),
        batch_(Op::name, a),
        head_dim_(a.qkv.columns() / (3 * a.heads)),
        buffers_(c.threads, batch_.longest(), head_dim_) {}

 protected:
  const typename Op::args& a_;
  context& c_;
  sequences batch_;
  int64_t head_dim_;
  per_thread<Buffers> buffers_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
