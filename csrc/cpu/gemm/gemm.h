#pragma once

#include <memory>

#include "cpu/gemm/gemm_spec.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Chooses an engine. Throws device_error if the spec asks for one that this processor does not have.
std::unique_ptr<prepared_gemm> prepare_gemm(const gemm_spec& spec);

/// A prepared GEMM as a value.
class gemm {
 public:
  explicit gemm(const gemm_spec& spec) : prepared_(prepare_gemm(spec)) {}
  void run(const void* a, const void* b, void* c, const float* bias = nullptr, const void* addend = nullptr,
           void* pre = nullptr) {
    prepared_->run({a, b, c, bias, addend, pre});
  }

 private:
  std::unique_ptr<prepared_gemm> prepared_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
