#include "cuda/linear/gemm.h"

#include <algorithm>

#include "core/error.h"
#include "cuda/linear/cublaslt.h"

namespace eva::cuda {
namespace {

using namespace cublaslt;

/// NVIDIA's recommendation for Hopper (cublasSetWorkspace); shared by all GEMMs.
constexpr int64_t workspace_bytes = int64_t(32) << 20;

class cublaslt_library final : public blas_library {
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
  if (!c.blas) c.blas = blas_library::open();
  return static_cast<cublaslt_library&>(*c.blas);
}

data_type type_of(dtype type) { return type == dtype::bf16 ? data_bf16 : data_f32; }

/// The largest power of two, up to 256, that divides the address.
uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address);
  uint32_t alignment = 256;
  while (bits % alignment != 0) alignment /= 2;
  return alignment;
}

bool is_row_major(const matrix_layout& m) { return m.column_stride == 1; }

std::string to_string(const matrix_layout& m) {
  return std::string(eva::to_string(m.type)) + " [" + std::to_string(m.rows) + ", " +
         std::to_string(m.columns) + "]";
}

}  // namespace

std::shared_ptr<blas_library> blas_library::open() { return std::make_shared<cublaslt_library>(); }

// cuBLASLt's matrices are column-major, these are row-major: it computes cᵀ = bᵀ aᵀ on the same memory.
struct gemm::prepared {
  prepared(const gemm_problem& requested, const gemm_operands& sample, context& c);
  ~prepared();
  prepared(const prepared&) = delete;

  layout_descriptor describe(const matrix_layout& m);
  template <class T> void set(matmul_attribute attribute, T value) {
    library.expect(library.call().cublasLtMatmulDescSetAttribute(descriptor, attribute, &value, sizeof value),
                   "cublasLtMatmulDescSetAttribute");
  }
  void choose_algorithm(const gemm_operands& sample);
  void run(const gemm_operands& at, context& c);

  cublaslt_library& library;
  gemm_problem problem;
  bool is_empty;
  matmul_descriptor descriptor = nullptr;
  layout_descriptor layout_a = nullptr, layout_b = nullptr, layout_c = nullptr;
  heuristic_result chosen{};
};

gemm::prepared::prepared(const gemm_problem& requested, const gemm_operands& sample, context& c)
    : library(library_of(c)),
      problem(requested),
      is_empty(problem.c.rows == 0 || problem.c.columns == 0 || problem.c.batch == 0) {
  if (is_empty) return;
  library.expect(library.call().cublasLtMatmulDescCreate(&descriptor, compute_f32, data_f32),
                 "cublasLtMatmulDescCreate");
  set(transpose_a, is_row_major(problem.b) ? as_stored : transpose);
  set(transpose_b, is_row_major(problem.a) ? as_stored : transpose);
  if (problem.bias) {
    set(with_epilogue, add_bias);
    set(bias_pointer, sample.bias);
  }
  layout_a = describe(problem.b);
  layout_b = describe(problem.a);
  layout_c = describe(problem.c);
  choose_algorithm(sample);
}

gemm::prepared::~prepared() {
  const functions& call = library.call();
  for (layout_descriptor m : {layout_a, layout_b, layout_c})
    if (m) call.cublasLtMatrixLayoutDestroy(m);
  if (descriptor) call.cublasLtMatmulDescDestroy(descriptor);
}

layout_descriptor gemm::prepared::describe(const matrix_layout& m) {
  const matrix_layout stored = is_row_major(m) ? transposed(m) : m;
  const functions& call = library.call();
  // The stride of a single column may be anything, but cuBLASLt requires at least the column's length.
  const int64_t stride = std::max(stored.column_stride, stored.rows);
  layout_descriptor description = nullptr;
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

void gemm::prepared::choose_algorithm(const gemm_operands& sample) {
  const functions& call = library.call();
  preference preferences = nullptr;
  library.expect(call.cublasLtMatmulPreferenceCreate(&preferences), "cublasLtMatmulPreferenceCreate");
  const auto prefer = [&](preference_attribute attribute, auto value) {
    library.expect(call.cublasLtMatmulPreferenceSetAttribute(preferences, attribute, &value, sizeof value),
                   "preference");
  };
  prefer(workspace_limit, uint64_t(workspace_bytes));
  // Split-K partial sums are reduced in f32 in a fixed order, which makes the result deterministic.
  prefer(reduction_scheme_mask, uint32_t(reduce_in_compute_type));
  prefer(alignment_a, alignment_of(sample.b));
  prefer(alignment_b, alignment_of(sample.a));
  prefer(alignment_c, alignment_of(problem.has_addend ? sample.addend : sample.c));
  prefer(alignment_d, alignment_of(sample.c));
  int found = 0;
  const status answer =
      call.cublasLtMatmulAlgoGetHeuristic(library.of_device(), descriptor, layout_a, layout_b, layout_c,
                                          layout_c, preferences, 1, &chosen, &found);
  call.cublasLtMatmulPreferenceDestroy(preferences);
  if (answer == success && found > 0) return;
  library.expect(answer == success ? not_supported : answer, "no algorithm for " + to_string(problem.a) +
                                                                 " × " + to_string(problem.b) + " → " +
                                                                 to_string(problem.c));
}

void gemm::prepared::run(const gemm_operands& at, context& c) {
  if (is_empty) return;
  if (problem.bias) set(bias_pointer, at.bias);
  const float alpha = 1, beta = problem.has_addend ? 1.0f : 0.0f;
  const void* addend = problem.has_addend ? at.addend : at.c;
  void* workspace = c.gemm_workspace.take<std::byte>(int64_t(chosen.workspace_bytes));
  library.expect(library.call().cublasLtMatmul(library.of_device(), descriptor, &alpha, at.b, layout_a, at.a,
                                               layout_b, &beta, addend, layout_c, at.c, layout_c,
                                               &chosen.chosen, workspace, chosen.workspace_bytes, c.stream),
                 "cublasLtMatmul");
}

gemm::gemm(const gemm_problem& problem, const gemm_operands& sample, context& c)
    : prepared_(std::make_unique<prepared>(problem, sample, c)) {}
gemm::~gemm() = default;
gemm::gemm(gemm&&) noexcept = default;
gemm& gemm::operator=(gemm&&) noexcept = default;

void gemm::run(const gemm_operands& at, context& c) { prepared_->run(at, c); }

}  // namespace eva::cuda
