#pragma once

#include "cuda/context.h"

namespace eva::cuda {

/// Queues the CUDA kernels of an op on the context's stream: specialised exactly once, in the file that
/// carries the op header's name. A missing one fails the link, naming the op.
template <class Op> void run(const typename Op::args&, context&);

/// One application of an op, prepared once and run many times. Ops that have something to prepare specialise
/// it in a header beside their kernel; `args` outlives it, and the addresses in it may change between runs.
template <class Op> struct plan {
  plan(const typename Op::args& a, context&) : args(a) {}
  void run(context& c) { cuda::run<Op>(args, c); }

  const typename Op::args& args;
};

}  // namespace eva::cuda
