#pragma once

#include <optional>

#include "cuda/kernel.h"
#include "cuda/linear/gemm.h"
#include "ops/linear.h"

namespace eva::cuda {

/// One GEMM, whose epilogue adds the bias and, without an activation, the residual. Otherwise a second kernel
/// applies activation and residual, in f32 and with exact GELU, which cuBLASLt's epilogue only approximates.
template <> struct plan<ops::linear> {
  plan(const ops::linear::args& a, context& c);
  void run(context& c);

 private:
  gemm_operands operands() const;
  void round_bias(context& c);
  void run_epilogue(context& c) const;

  const ops::linear::args& args_;
  bool needs_epilogue_;          // for an activation, or a residual that `pre` must not include
  device::buffer rounded_bias_;  // [N] bf16: cuBLASLt requires y's type
  std::optional<gemm> gemm_;
};

template <> struct plan<ops::linear_input_gradient> {
  plan(const ops::linear_input_gradient::args& a, context& c);
  void run(context& c);

 private:
  gemm_operands operands() const;

  const ops::linear_input_gradient::args& args_;
  gemm gemm_;
};

template <> struct plan<ops::linear_weight_gradient> {
  plan(const ops::linear_weight_gradient::args& a, context& c);
  void run(context& c);

 private:
  gemm_operands operands() const;

  const ops::linear_weight_gradient::args& args_;
  std::optional<gemm> gemm_;  // absent if only dbias is read
};

template <> struct plan<ops::matmul> {
  plan(const ops::matmul::args& a, context& c);
  void run(context& c);

 private:
  const ops::matmul::args& args_;
  gemm gemm_;
};

}  // namespace eva::cuda
