#pragma once

#include <memory>

#include "core/matrix_layout.h"
#include "ops/linear.h"

namespace eva::cpu {

/// c = activation(a b + bias) + addend, or c += a b.
struct gemm_spec {
  matrix_layout a;    // [M, K]
  matrix_layout b;    // [K, N]
  matrix_layout c;    // [M, N], f32 or the type of a and b
  bool bias = false;  // [N] f32
  ops::activation activation = ops::activation::none;
  matrix_layout addend{};   // [M, N]
  bool accumulate = false;  // add to c; excludes bias, activation and addend
};

/// A oneDNN matmul primitive, prepared once and run many times at any addresses. The only user of oneDNN.
/// Computes in f32 if the library or the processor has no bf16.
class gemm {
 public:
  explicit gemm(const gemm_spec& spec);
  ~gemm();
  gemm(gemm&&) noexcept;
  gemm& operator=(gemm&&) noexcept;

  void run(const void* a, const void* b, void* c, const float* bias = nullptr, const void* addend = nullptr);

 private:
  struct prepared;
  std::unique_ptr<prepared> prepared_;
};

}  // namespace eva::cpu
