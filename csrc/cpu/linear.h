#pragma once

#include <optional>
#include <vector>

#include "cpu/dispatch/matrix_product.h"
#include "cpu/kernel.h"
#include "ops/linear.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// One product a weight, each writing its columns of y (or of pre, which a vectorised pass then turns into
/// y).
template <> struct plan<ops::linear> {
  plan(const ops::linear::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear::args& args_;
  std::vector<matrix_product> products_;
};

/// One product a weight, all but the first adding to dx.
template <> struct plan<ops::linear_input_gradient> {
  plan(const ops::linear_input_gradient::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear_input_gradient::args& args_;
  std::vector<matrix_product> products_;
};

template <> struct plan<ops::linear_weight_gradient> {
  plan(const ops::linear_weight_gradient::args& a, context& c);
  void run(context& c);

 private:
  const ops::linear_weight_gradient::args& args_;
  std::optional<matrix_product> product_;  // unless only dbias is wanted
};

template <> struct plan<ops::matmul> {
  plan(const ops::matmul::args& a, context& c);
  void run(context& c);

 private:
  const ops::matmul::args& args_;
  matrix_product product_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
