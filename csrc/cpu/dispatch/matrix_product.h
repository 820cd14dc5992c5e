#pragma once

#include <memory>

#include "core/dtype.h"
#include "ops/linear.h"

namespace eva::cpu {

/// Where the elements of a matrix (or of `batch` equal ones) lie: distances are in elements.
struct matrix_layout {
  dtype type = dtype::none;  // f32 or bf16; none: there is no such matrix
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 1;
  int64_t batch = 1;
  int64_t batch_stride = 0;
};

/// A dense row-major matrix.
matrix_layout dense(dtype type, int64_t rows, int64_t columns);
/// `columns` of a row-major matrix that has `row_stride` of them.
matrix_layout column_slice(dtype type, int64_t rows, int64_t columns, int64_t row_stride);
/// The same memory, read with rows and columns exchanged.
matrix_layout transposed(matrix_layout m);

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
