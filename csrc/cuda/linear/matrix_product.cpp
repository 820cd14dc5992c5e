#include "cuda/linear/matrix_product.h"

#include <algorithm>

#include "core/error.h"
#include "cuda/linear/cublaslt.h"

namespace eva::cuda {
namespace {

using namespace cublaslt;

/// Enough for any algorithm on Hopper (NVIDIA's recommendation for cublasSetWorkspace); products share it.
constexpr int64_t most_workspace = int64_t(32) << 20;

class cublaslt_library final : public matrix_library {
 public:
  cublaslt_library() : opened_(cublaslt::open()) {
    expect(opened_.call.cublasLtCreate(&handle_), "cublasLtCreate");
  }
  ~cublaslt_library() override { opened_.call.cublasLtDestroy(handle_); }

  std::string description() const override {
    const size_t version = opened_.call.cublasLtGetVersion();
    return "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100) + " (" + opened_.path + ")";
  }

  void expect(status result, const std::string& what) const {
    if (result == success) return;
    const std::string why = what + ": " + opened_.call.cublasLtGetStatusString(result);
    if (result == allocation_failed) throw out_of_memory_error("cuBLASLt ran out of memory in " + why);
    throw error("ERR_EVACLIP_LIBRARY", "cuBLASLt: " + why);
  }

  const functions& call() const { return opened_.call; }
  handle of_device() const { return handle_; }

 private:
  library opened_;
  handle handle_ = nullptr;
};

cublaslt_library& library_of(context& c) {
  if (!c.products) c.products = matrix_library::open();
  return static_cast<cublaslt_library&>(*c.products);
}

data_type type_of(dtype type) { return type == dtype::bf16 ? data_bf16 : data_f32; }

/// The largest power of two, up to 256, that divides the address.
uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address);
  uint32_t alignment = 256;
  while (bits % alignment != 0) alignment /= 2;
  return alignment;
}

bool has_rows_together(const matrix_layout& m) { return m.column_stride == 1; }

std::string to_string(const matrix_layout& m) {
  return std::string(eva::to_string(m.type)) + " [" + std::to_string(m.rows) + ", " +
         std::to_string(m.columns) + "]";
}

}  // namespace

std::shared_ptr<matrix_library> matrix_library::open() { return std::make_shared<cublaslt_library>(); }

// cuBLASLt's matrices have their columns together, ours their rows: it computes cᵀ = bᵀ aᵀ, on the same
// memory.
struct matrix_product::prepared {
  prepared(const product_form& requested, const product_operands& like, context& c);
  ~prepared();
  prepared(const prepared&) = delete;

  matrix_description describe(const matrix_layout& m);
  template <class T> void set(product_attribute attribute, T value) {
    library.expect(library.call().cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value),
                   "cublasLtMatmulDescSetAttribute");
  }
  void choose_algorithm(const product_operands& like);
  void run(const product_operands& at, context& c);

  cublaslt_library& library;
  product_form form;
  bool is_empty;
  product_description product = nullptr;
  matrix_description first = nullptr, second = nullptr, result = nullptr;
  heuristic_result chosen{};
};

matrix_product::prepared::prepared(const product_form& requested, const product_operands& like, context& c)
    : library(library_of(c)),
      form(requested),
      is_empty(form.c.rows == 0 || form.c.columns == 0 || form.c.batch == 0) {
  if (is_empty) return;
  library.expect(library.call().cublasLtMatmulDescCreate(&product, compute_f32, data_f32),
                 "cublasLtMatmulDescCreate");
  set(transpose_a, has_rows_together(form.b) ? as_stored : transpose);
  set(transpose_b, has_rows_together(form.a) ? as_stored : transpose);
  if (form.bias) {
    set(with_epilogue, add_bias);
    set(bias_pointer, like.bias);
  }
  first = describe(form.b);
  second = describe(form.a);
  result = describe(form.c);
  choose_algorithm(like);
}

matrix_product::prepared::~prepared() {
  const functions& call = library.call();
  for (matrix_description m : {first, second, result})
    if (m) call.cublasLtMatrixLayoutDestroy(m);
  if (product) call.cublasLtMatmulDescDestroy(product);
}

matrix_description matrix_product::prepared::describe(const matrix_layout& m) {
  const matrix_layout stored = has_rows_together(m) ? transposed(m) : m;
  const functions& call = library.call();
  // A single column may claim any stride, but cuBLASLt wants one as long as the column.
  const int64_t stride = std::max(stored.column_stride, stored.rows);
  matrix_description description = nullptr;
  library.expect(call.cublasLtMatrixLayoutCreate(&description, type_of(stored.type), uint64_t(stored.rows),
                                                 uint64_t(stored.columns), stride),
                 "cublasLtMatrixLayoutCreate");
  const auto count = int32_t(m.batch);
  library.expect(call.cublasLtMatrixLayoutSetAttribute(description, batch_count, &count, sizeof count),
                 "batch count");
  library.expect(call.cublasLtMatrixLayoutSetAttribute(description, batch_stride, &m.batch_stride,
                                                       sizeof m.batch_stride),
                 "batch stride");
  return description;
}

void matrix_product::prepared::choose_algorithm(const product_operands& like) {
  const functions& call = library.call();
  preference wishes = nullptr;
  library.expect(call.cublasLtMatmulPreferenceCreate(&wishes), "cublasLtMatmulPreferenceCreate");
  const auto prefer = [&](preference_attribute attribute, auto value) {
    library.expect(call.cublasLtMatmulPreferenceSetAttribute(wishes, attribute, &value, sizeof value),
                   "preference");
  };
  prefer(most_workspace_bytes, uint64_t(most_workspace));
  // Partial sums over K are added in f32 and in one order: the same bits every time.
  prefer(reduction_scheme_mask, uint32_t(reduce_in_compute_type));
  prefer(alignment_a, alignment_of(like.b));
  prefer(alignment_b, alignment_of(like.a));
  prefer(alignment_c, alignment_of(form.has_addend ? like.addend : like.c));
  prefer(alignment_d, alignment_of(like.c));
  int found = 0;
  const status answer = call.cublasLtMatmulAlgoGetHeuristic(library.of_device(), product, first, second,
                                                            result, result, wishes, 1, &chosen, &found);
  call.cublasLtMatmulPreferenceDestroy(wishes);
  if (answer == success && found > 0) return;
  library.expect(
      answer == success ? not_supported : answer,
      "no algorithm for " + to_string(form.a) + " by " + to_string(form.b) + " to " + to_string(form.c));
}

void matrix_product::prepared::run(const product_operands& at, context& c) {
  if (is_empty) return;
  if (form.bias) set(bias_pointer, at.bias);
  const float alpha = 1, beta = form.has_addend ? 1.0f : 0.0f;
  const void* addend = form.has_addend ? at.addend : at.c;
  void* workspace = c.product_scratch.take<std::byte>(int64_t(chosen.workspace_bytes));
  library.expect(library.call().cublasLtMatmul(library.of_device(), product, &alpha, at.b, first, at.a,
                                               second, &beta, addend, result, at.c, result, &chosen.chosen,
                                               workspace, chosen.workspace_bytes, c.stream),
                 "cublasLtMatmul");
}

matrix_product::matrix_product(const product_form& form, const product_operands& like, context& c)
    : prepared_(std::make_unique<prepared>(form, like, c)) {}
matrix_product::~matrix_product() = default;
matrix_product::matrix_product(matrix_product&&) noexcept = default;
matrix_product& matrix_product::operator=(matrix_product&&) noexcept = default;

void matrix_product::run(const product_operands& at, context& c) { prepared_->run(at, c); }

}  // namespace eva::cuda
