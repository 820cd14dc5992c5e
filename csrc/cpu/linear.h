#pragma once

#include <optional>

#include "cpu/gemm/gemm.h"
#include "cpu/kernel.h"
#include "ops/linear.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// One GEMM, which also writes `pre` where it is kept.
template <> struct plan<ops::linear> {
  plan(const ops::linear::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear::args& args_;
  std::optional<gemm> gemm_;
};

template <> struct plan<ops::linear_input_gradient> {
  plan(const ops::linear_input_gradient::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear_input_gradient::args& args_;
  gemm gemm_;
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
