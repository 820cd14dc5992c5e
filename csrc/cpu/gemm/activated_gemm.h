#pragma once

#include <memory>

#include "cpu/gemm/gemm_spec.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A GEMM without an epilogue for activations, and a second pass that applies the activation and adds the
/// addend. The results are the same bits whether `pre` is stored or not.
class activated_gemm final : public prepared_gemm {
 public:
  /// `bare` makes the GEMM of a spec that has neither an activation, nor an addend, nor `pre`.
  template <class Make> activated_gemm(const gemm_spec& spec, const Make& bare) : spec_(spec) {
    gemm_spec inner = spec;
    inner.activation = ops::activation::none;
    inner.addend = {};
    inner.pre = false;
    gemm_ = bare(inner);
  }
  void run(const gemm_operands& on) override;

 private:
  template <class T> void finish(const gemm_operands& on, const void* pre) const;

  gemm_spec spec_;
  std::unique_ptr<prepared_gemm> gemm_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
