#pragma once

#include <optional>
#include <vector>

#include "cpu/dispatch/gemm.h"
#include "cpu/kernel.h"
#include "ops/linear.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// One GEMM per weight; each writes its own column slice of y (or of pre, from which a vectorized epilogue
/// then computes y).
template <> struct plan<ops::linear> {
  plan(const ops::linear::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear::args& args_;
  std::vector<gemm> gemms_;
};

/// One GEMM per weight; all but the first accumulate into dx.
template <> struct plan<ops::linear_input_gradient> {
  plan(const ops::linear_input_gradient::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear_input_gradient::args& args_;
  std::vector<gemm> gemms_;
};

template <> struct plan<ops::linear_weight_gradient> {
  plan(const ops::linear_weight_gradient::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear_weight_gradient::args& args_;
  std::optional<gemm> gemm_;  // none if only dbias is read
};

template <> struct plan<ops::matmul> {
  plan(const ops::matmul::args& a, context& c);
  void run(context& c);

 private:
  const ops::matmul::args& args_;
  gemm gemm_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
