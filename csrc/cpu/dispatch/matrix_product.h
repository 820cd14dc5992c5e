#pragma once

#include <memory>

#include "core/matrix_layout.h"
#include "ops/linear.h"

namespace eva::cpu {

/// What a matrix_product computes: c = activation(a b + bias) + addend, or c += a b.
struct product_form {
  matrix_layout a;    // [M, K]
  matrix_layout b;    // [K, N]
  matrix_layout c;    // [M, N], f32 or the type of a and b
  bool bias = false;  // [N] f32
  ops::activation activation = ops::activation::none;
  matrix_layout addend{};   // [M, N]
  bool accumulate = false;  // add to c; excludes bias, activation and addend
};

/// A matrix product made ready once by oneDNN and run many times, at any addresses. The only user of oneDNN.
/// Where the library or the processor has no bf16, the product is computed in f32.
class matrix_product {
 public:
  explicit matrix_product(const product_form& form);
  ~matrix_product();
  matrix_product(matrix_product&&) noexcept;
  matrix_product& operator=(matrix_product&&) noexcept;

  void run(const void* a, const void* b, void* c, const float* bias = nullptr, const void* addend = nullptr);

 private:
  struct prepared;
  std::unique_ptr<prepared> prepared_;
};

}  // namespace eva::cpu
