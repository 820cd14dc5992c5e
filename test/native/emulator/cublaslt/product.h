#pragma once
// A product of matrices as cuBLASLt describes it: D = alpha op(A) op(B) + beta C + bias, all column-major.

#include <cstddef>
#include <cstdint>
#include <string>

namespace eva::cublaslt_stand_in {

/// Why the real library would refuse a call.
struct refusal {
  int status;  // cublasStatus_t
  std::string reason;
};

/// Throws a refusal unless the condition holds.
void require(bool holds, const std::string& otherwise, int status = 7);  // CUBLAS_STATUS_INVALID_VALUE

enum class element { f32, bf16 };
inline int64_t bytes_of(element type) { return type == element::f32 ? 4 : 2; }

struct matrix {
  element type;
  int64_t rows, columns, stride;  // between columns
  int64_t batch = 1, batch_stride = 0;

  int64_t span() const { return (batch - 1) * batch_stride + (columns - 1) * stride + rows; }
};

struct product {
  matrix a, b, c, d;
  bool transpose_a = false, transpose_b = false, has_bias = false;
  element bias_type = element::f32;

  int64_t inner() const { return transpose_a ? a.rows : a.columns; }
  /// Throws a refusal if the real library does not support it.
  void check() const;
  /// The same for products that one algorithm can serve.
  uint64_t hash() const;
};

struct operands {
  float alpha, beta;
  const void *a, *b, *c, *bias;
  void* d;
};

/// Adds the products in the order of k, beginning at `first`.
void multiply(const product& p, const operands& at, int64_t first);

}  // namespace eva::cublaslt_stand_in
