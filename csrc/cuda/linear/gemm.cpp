#include "cuda/linear/gemm.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <vector>

#include "cuda/device/runtime.h"
#include "cuda/failure.h"
#include "cuda/linear/algorithm_cache.h"
#include "cuda/linear/cublaslt.h"
#include "cuda/linear/fastest.h"
#include "cuda/stopwatch.h"

namespace eva::cuda {
namespace {

using namespace cublaslt;

/// NVIDIA's recommendation for Hopper (cublasSetWorkspace); shared by all GEMMs.
constexpr int64_t workspace_bytes = int64_t(32) << 20;

/// Of the heuristics' candidates, which they order by estimated time.
constexpr int max_candidates = 16;

class cublaslt_library final : public blas_library {
 public:
  cublaslt_library() : opened_(cublaslt::open()) {
    expect(opened_.call.cublasLtCreate(&handle_), "cublasLtCreate");
  }
  ~cublaslt_library() override { opened_.call.cublasLtDestroy(handle_); }

  std::string description() const override {
    const size_t version = opened_.call.cublasLtGetVersion();
    return "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100) + " (" + opened_.path + "), " + algorithms.description();
  }
  /// What else the fastest algorithm of a problem depends on.
  const std::string& environment() const { return environment_; }

  void expect(status result, const std::string& what) const {
    if (result == success) return;
    device::free_bytes();  // throws if the GPU has failed, which cuBLASLt does not tell apart
    throw library_error(what + ": " + opened_.call.cublasLtGetStatusString(result),
                        result == allocation_failed);
  }

  const functions& call() const { return opened_.call; }
  handle of_device() const { return handle_; }

  algorithm_cache algorithms = algorithm_cache::of_user();

 private:
  library opened_;
  handle handle_ = nullptr;
  const std::string environment_ = device::identity_of(device::current_device()).name + ", driver " +
                                   std::to_string(device::driver_version()) + ", cuBLASLt " +
                                   std::to_string(opened_.call.cublasLtGetVersion());
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

/// "bf16 [6, 768] row-major 768"; of a batch also the number of matrices and their stride.
std::string layout_text(const matrix_layout& m) {
  const bool rows = is_row_major(m);
  const std::string batch =
      m.batch == 1 ? "" : " x " + std::to_string(m.batch) + " by " + std::to_string(m.batch_stride);
  return to_string(m) + (rows ? " row-major " : " column-major ") +
         std::to_string(rows ? m.row_stride : m.column_stride) + batch;
}

}  // namespace

std::shared_ptr<blas_library> blas_library::open() { return std::make_shared<cublaslt_library>(); }

// cuBLASLt's matrices are column-major, these are row-major: it computes cᵀ = bᵀ aᵀ on the same memory.
struct gemm::prepared {
  prepared(const gemm_problem& requested, context& c);
  ~prepared();
  prepared(const prepared&) = delete;

  /// Apart from the constructor, so that its failure frees what it has made.
  void prepare(const gemm_operands& sample);

  layout_descriptor describe(const matrix_layout& m);
  template <class T> void set(matmul_attribute attribute, T value) {
    library.expect(library.call().cublasLtMatmulDescSetAttribute(descriptor, attribute, &value, sizeof value),
                   "cublasLtMatmulDescSetAttribute");
  }
  std::string describe_problem(const gemm_operands& sample) const;
  std::vector<heuristic_result> find_candidates(const gemm_operands& sample);
  std::optional<heuristic_result> checked(const algorithm& given);
  status multiply(const gemm_operands& at, void* destination, const heuristic_result& how, context& c);
  std::optional<algorithm> measure(const gemm_operands& at, context& c);
  void tune(const gemm_operands& at, context& c);
  void run(const gemm_operands& at, context& c);

  cublaslt_library& library;
  gemm_problem problem;
  bool is_empty;
  matmul_descriptor descriptor = nullptr;
  layout_descriptor layout_a = nullptr, layout_b = nullptr, layout_c = nullptr;
  std::string key;  // of the problem in the cache
  heuristic_result chosen{};
  std::vector<heuristic_result> untried;  // until the first run has chosen among them
};

gemm::prepared::prepared(const gemm_problem& requested, context& c)
    : library(library_of(c)),
      problem(requested),
      is_empty(problem.c.rows == 0 || problem.c.columns == 0 || problem.c.batch == 0) {}

void gemm::prepared::prepare(const gemm_operands& sample) {
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
  key = describe_problem(sample);
  if (const auto known = library.algorithms.find(key))
    if (const auto usable = checked(std::bit_cast<algorithm>(*known))) {
      chosen = *usable;
      return;
    }
  untried = find_candidates(sample);
  chosen = untried.front();
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

std::string gemm::prepared::describe_problem(const gemm_operands& sample) const {
  std::string text = library.environment() + ": " + layout_text(problem.a) + " * " + layout_text(problem.b) +
                     " -> " + layout_text(problem.c);
  if (problem.bias) text += " + bias";
  if (problem.has_addend) text += sample.addend == sample.c ? " + itself" : " + addend";
  text += ", aligned to";
  for (const void* address :
       {sample.a, sample.b, static_cast<const void*>(sample.c), sample.bias, sample.addend})
    if (address) text += " " + std::to_string(alignment_of(address));
  return text;
}

std::vector<heuristic_result> gemm::prepared::find_candidates(const gemm_operands& sample) {
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
  std::vector<heuristic_result> found(library.algorithms.is_enabled() ? max_candidates : 1);
  int count = 0;
  const status answer =
      call.cublasLtMatmulAlgoGetHeuristic(library.of_device(), descriptor, layout_a, layout_b, layout_c,
                                          layout_c, preferences, int(found.size()), found.data(), &count);
  call.cublasLtMatmulPreferenceDestroy(preferences);
  found.resize(answer == success ? size_t(count) : 0);
  std::erase_if(found, [](const heuristic_result& each) { return each.state != success; });
  if (found.empty())
    library.expect(answer == success ? not_supported : answer, "no algorithm for " + to_string(problem.a) +
                                                                   " × " + to_string(problem.b) + " → " +
                                                                   to_string(problem.c));
  return found;
}

/// An algorithm from the cache, with its workspace; nothing if it cannot compute this problem here.
std::optional<heuristic_result> gemm::prepared::checked(const algorithm& given) {
  heuristic_result result{};
  const status answer = library.call().cublasLtMatmulAlgoCheck(library.of_device(), descriptor, layout_a,
                                                               layout_b, layout_c, layout_c, &given, &result);
  if (answer != success || result.workspace_bytes > size_t(workspace_bytes)) return std::nullopt;
  result.chosen = given;
  return result;
}

status gemm::prepared::multiply(const gemm_operands& at, void* destination, const heuristic_result& how,
                                context& c) {
  const float alpha = 1, beta = problem.has_addend ? 1.0f : 0.0f;
  const void* addend = problem.has_addend ? at.addend : destination;
  void* workspace = c.gemm_workspace.take<std::byte>(int64_t(how.workspace_bytes));
  return library.call().cublasLtMatmul(library.of_device(), descriptor, &alpha, at.b, layout_a, at.a,
                                       layout_b, &beta, addend, layout_c, destination, layout_c, &how.chosen,
                                       workspace, how.workspace_bytes, c.stream);
}

/// The fastest of the candidates. They write c, which the run then overwrites, or a copy if c is also the
/// addend.
std::optional<algorithm> gemm::prepared::measure(const gemm_operands& at, context& c) {
  size_t largest = 0;  // workspace: growing it during a measurement would be measured, too
  for (const heuristic_result& each : untried) largest = std::max(largest, each.workspace_bytes);
  c.gemm_workspace.take<std::byte>(int64_t(largest));
  device::buffer copy;
  if (problem.has_addend && at.addend == at.c) {
    const matrix_layout& m = problem.c;
    const int64_t elements = (m.batch - 1) * m.batch_stride + (m.rows - 1) * m.row_stride + m.columns;
    const int64_t bytes = elements * size_of(m.type);
    if (bytes > device::free_bytes()) return std::nullopt;
    copy = device::buffer(size_t(bytes));
  }
  void* destination = copy.data() ? copy.data() : at.c;
  stopwatch watch;
  const size_t best = fastest(untried.size(), [&](size_t i, int repetitions) {
    bool works = true;
    const double seconds = watch.seconds(
        c.stream, repetitions, [&] { works = works && multiply(at, destination, untried[i], c) == success; });
    return works ? seconds : std::numeric_limits<double>::infinity();
  });
  if (best == untried.size()) return std::nullopt;
  return untried[best].chosen;
}

// Chooses on the first run, which is never captured, because only then do the operands hold what they will.
void gemm::prepared::tune(const gemm_operands& at, context& c) {
  const auto fits = [&](const algorithm_cache::algorithm& given) {
    return checked(std::bit_cast<algorithm>(given)).has_value();
  };
  const auto measured = [&]() -> std::optional<algorithm_cache::algorithm> {
    if (const auto best = measure(at, c)) return std::bit_cast<algorithm_cache::algorithm>(*best);
    return std::nullopt;
  };
  if (const auto found = library.algorithms.find_or_measure(key, fits, measured))
    if (const auto usable = checked(std::bit_cast<algorithm>(*found))) chosen = *usable;
  untried.clear();
  untried.shrink_to_fit();
}

void gemm::prepared::run(const gemm_operands& at, context& c) {
  if (is_empty) return;
  if (problem.bias) set(bias_pointer, at.bias);
  if (!untried.empty()) tune(at, c);
  library.expect(multiply(at, at.c, chosen, c), "cublasLtMatmul");
}

gemm::gemm(const gemm_problem& problem, const gemm_operands& sample, context& c)
    : prepared_(std::make_unique<prepared>(problem, c)) {
  prepared_->prepare(sample);
}
gemm::~gemm() = default;
gemm::gemm(gemm&&) noexcept = default;
gemm& gemm::operator=(gemm&&) noexcept = default;

void gemm::run(const gemm_operands& at, context& c) { prepared_->run(at, c); }

}  // namespace eva::cuda
