#pragma once

#include <memory>
#include <string>

#include "core/matrix_layout.h"
#include "cuda/context.h"

namespace eva::cuda {

/// What a matrix_product computes: c = a b + bias + addend. Each of a and b has its rows or its columns
/// together in memory; c and addend have their rows.
struct product_form {
  matrix_layout a;          // [M, K]
  matrix_layout b;          // [K, N]
  matrix_layout c;          // [M, N], f32 or the type of a and b
  bool bias = false;        // [N], c's type
  bool has_addend = false;  // [M, N], laid out as c; may be c itself
};

/// Where a product's operands lie; null where there is none.
struct product_operands {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  const void* bias = nullptr;
  const void* addend = nullptr;
};

/// The library that multiplies matrices, opened. Throws device_error where there is none.
class matrix_library {
 public:
  static std::shared_ptr<matrix_library> open();
  virtual ~matrix_library() = default;
  /// Its name, its version and where it is.
  virtual std::string description() const = 0;
};

/// A matrix product made ready once by the library and run many times, at any addresses that are aligned like
/// those it was made with. Opens the context's library where nothing has yet.
class matrix_product {
 public:
  matrix_product(const product_form& form, const product_operands& like, context& c);
  ~matrix_product();
  matrix_product(matrix_product&&) noexcept;
  matrix_product& operator=(matrix_product&&) noexcept;

  void run(const product_operands& at, context& c);

 private:
  struct prepared;
  std::unique_ptr<prepared> prepared_;
};

}  // namespace eva::cuda
