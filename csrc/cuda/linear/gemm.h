#pragma once

#include <memory>
#include <string>

#include "core/matrix_layout.h"
#include "cuda/context.h"

namespace eva::cuda {

/// A GEMM with its epilogue: c = a b + bias + addend. a and b are row-major or column-major, c and addend
/// row-major.
struct gemm_problem {
  matrix_layout a;          // [M, K]
  matrix_layout b;          // [K, N]
  matrix_layout c;          // [M, N], f32 or the type of a and b
  bool bias = false;        // [N], c's type
  bool has_addend = false;  // [M, N], with c's layout; may be c itself
};

/// The addresses of a GEMM's operands; null for those it does not have.
struct gemm_operands {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  const void* bias = nullptr;
  const void* addend = nullptr;
};

/// The opened GEMM library.
class blas_library {
 public:
  /// Throws device_error if there is none.
  static std::shared_ptr<blas_library> open();
  virtual ~blas_library() = default;
  /// Its name, version and path.
  virtual std::string description() const = 0;
};

/// A GEMM that is prepared once and run many times, at any addresses with the alignment of `sample`'s. Opens
/// the context's library if it is not open yet.
class gemm {
 public:
  gemm(const gemm_problem& problem, const gemm_operands& sample, context& c);
  ~gemm();
  gemm(gemm&&) noexcept;
  gemm& operator=(gemm&&) noexcept;

  void run(const gemm_operands& at, context& c);

 private:
  struct prepared;
  std::unique_ptr<prepared> prepared_;
};

}  // namespace eva::cuda
