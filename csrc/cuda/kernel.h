#pragma once

#include "cuda/context.h"

namespace eva::cuda {

/// Launches the CUDA kernels of an op on the context's stream. Specialized exactly once, in the file with the
/// op header's name; a missing one is a link error that names the op.
template <class Op> void run(const typename Op::args&, context&);

/// One application of an op, prepared once and run many times. Ops with something to prepare specialize it in
/// a header next to their kernel. `args` outlives it; the addresses in it may change between runs.
template <class Op> struct plan {
  plan(const typename Op::args& a, context&) : args(a) {}
  void run(context& c) { cuda::run<Op>(args, c); }

  const typename Op::args& args;
};

}  // namespace eva::cuda
