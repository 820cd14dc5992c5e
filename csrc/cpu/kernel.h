#pragma once

#include "cpu/context.h"

// Every kernel file is compiled once per instruction set (EVA_CLIP_ISA is v2, v3 or v4, the x86-64 levels,
// v4_bf16, which is v4 with AVX512_BF16, or generic). Kernels are in a namespace of that name, and the best
// table is chosen at run time.
namespace eva::cpu::EVA_CLIP_ISA {

/// The CPU kernel of an op: specialized exactly once, in the file named after the op's header. A missing
/// specialization is a link error that names the op.
template <class Op> void run(const typename Op::args&, context&);

/// One application of an op, prepared once and run many times. Ops that have something to prepare, such as
/// oneDNN primitives, specialize it in a header next to their kernel. `args` outlives it, and the addresses
/// in it may change between runs.
template <class Op> struct plan {
  plan(const typename Op::args& a, context&) : args(a) {}
  void run(context& c) { EVA_CLIP_ISA::run<Op>(args, c); }

  const typename Op::args& args;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
