// Host implementation of csrc/cuda/linear/gemm.h: plain loops, accumulating in f32.
#include "cuda/linear/gemm.h"

#include "commands.h"

namespace eva::cuda {
namespace {

class plain_loops final : public blas_library {
 public:
  std::string description() const override { return "plain loops"; }
};

float load(const void* from, dtype type, int64_t i) {
  return type == dtype::f32 ? static_cast<const float*>(from)[i] : float(static_cast<const bf16*>(from)[i]);
}

void store(void* to, dtype type, int64_t i, float value) {
  if (type == dtype::f32)
    static_cast<float*>(to)[i] = value;
  else
    static_cast<bf16*>(to)[i] = bf16(value);
}

int64_t offset(const matrix_layout& m, int64_t batch, int64_t row, int64_t column) {
  return batch * m.batch_stride + row * m.row_stride + column * m.column_stride;
}

void multiply(const gemm_problem& problem, const gemm_operands& at) {
  const auto& [a, b, c, has_bias, has_addend] = problem;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t j = 0; j < c.columns; ++j) {
        float sum = has_bias ? load(at.bias, c.type, j) : 0.0f;
        for (int64_t k = 0; k < a.columns; ++k)
          sum += load(at.a, a.type, offset(a, n, i, k)) * load(at.b, b.type, offset(b, n, k, j));
        if (has_addend) sum += load(at.addend, c.type, offset(c, n, i, j));
        store(at.c, c.type, offset(c, n, i, j), sum);
      }
}

}  // namespace

std::shared_ptr<blas_library> blas_library::open() { return std::make_shared<plain_loops>(); }

struct gemm::prepared {
  gemm_problem problem;
};

gemm::gemm(const gemm_problem& problem, const gemm_operands&, context&)
    : prepared_(std::make_unique<prepared>(prepared{problem})) {}
gemm::~gemm() = default;
gemm::gemm(gemm&&) noexcept = default;
gemm& gemm::operator=(gemm&&) noexcept = default;

void gemm::run(const gemm_operands& at, context&) {
  emulator::submit([problem = prepared_->problem, at] { multiply(problem, at); });
}

}  // namespace eva::cuda
