#pragma once

#include "core/matrix_layout.h"
#include "ops/linear.h"

namespace eva::cpu {

/// What computes a GEMM: f32 FMAs (of bf16 operands converted to f32, too), AVX512_BF16's dot products of
/// pairs, AMX tiles, or oneDNN.
enum class gemm_engine { automatic, fma, dot, amx, onednn };

/// c = activation(a b + bias) + addend, or c += a b.
struct gemm_spec {
  matrix_layout a;    // [M, K]
  matrix_layout b;    // [K, N]
  matrix_layout c;    // [M, N], f32 or the type of a and b
  bool bias = false;  // [N] f32
  ops::activation activation = ops::activation::none;
  matrix_layout addend{};   // [M, N]
  bool accumulate = false;  // add to c; excludes bias, activation and addend
  bool pre = false;         // also store a b + bias, laid out like c
  gemm_engine engine = gemm_engine::automatic;
};

/// c and pre overlap no other operand.
struct gemm_operands {
  const void* a;
  const void* b;
  void* c;
  const float* bias = nullptr;
  const void* addend = nullptr;
  void* pre = nullptr;
};

/// A GEMM that was prepared once and runs many times, at any addresses.
struct prepared_gemm {
  virtual ~prepared_gemm() = default;
  virtual void run(const gemm_operands& operands) = 0;
};

}  // namespace eva::cpu
