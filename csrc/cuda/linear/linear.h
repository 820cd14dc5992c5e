#pragma once

#include <optional>
#include <vector>

#include "cuda/kernel.h"
#include "cuda/linear/matrix_product.h"
#include "ops/linear.h"

namespace eva::cuda {

/// One product a weight, each writing its columns of y (or of pre). The product adds the bias and, where
/// there is no activation, the residual; otherwise one pass over y does what is left, in f32 with exact GELU,
/// which cuBLASLt's epilogue only approximates.
template <> struct plan<ops::linear> {
  plan(const ops::linear::args& a, context& c);
  void run(context& c);

 private:
  bool has_bias(size_t weight) const { return !args_.biases.empty() && args_.biases[weight].present(); }
  product_operands operands(size_t weight) const;
  void round_biases(context& c);
  void finish(context& c) const;

  const ops::linear::args& args_;
  bool needs_pass_;                // an activation, or a residual behind `pre`
  std::vector<int64_t> columns_;   // where each weight's columns begin
  device::buffer rounded_biases_;  // bf16, [N]: cuBLASLt wants them in y's type
  std::vector<matrix_product> products_;
};

/// One product a weight, all but the first adding to dx.
template <> struct plan<ops::linear_input_gradient> {
  plan(const ops::linear_input_gradient::args& a, context& c);
  void run(context& c);

 private:
  product_operands operands(size_t weight) const;

  const ops::linear_input_gradient::args& args_;
  std::vector<int64_t> columns_;
  std::vector<matrix_product> products_;
};

template <> struct plan<ops::linear_weight_gradient> {
  plan(const ops::linear_weight_gradient::args& a, context& c);
  void run(context& c);

 private:
  product_operands operands() const;

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

}  // namespace eva::cuda
