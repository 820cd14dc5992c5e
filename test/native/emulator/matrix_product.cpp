// Host twin of csrc/cuda/linear/matrix_product.cpp: plain loops, f32 sums, one rounding.
#include "cuda/linear/matrix_product.h"

#include "commands.h"

namespace eva::cuda {
namespace {

class plain_loops final : public matrix_library {
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

int64_t place(const matrix_layout& m, int64_t batch, int64_t row, int64_t column) {
  return batch * m.batch_stride + row * m.row_stride + column * m.column_stride;
}

void multiply(const product_form& form, const product_operands& at) {
  const auto& [a, b, c, has_bias, has_addend] = form;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t j = 0; j < c.columns; ++j) {
        float sum = has_bias ? load(at.bias, c.type, j) : 0.0f;
        for (int64_t k = 0; k < a.columns; ++k)
          sum += load(at.a, a.type, place(a, n, i, k)) * load(at.b, b.type, place(b, n, k, j));
        if (has_addend) sum += load(at.addend, c.type, place(c, n, i, j));
        store(at.c, c.type, place(c, n, i, j), sum);
      }
}

}  // namespace

std::shared_ptr<matrix_library> matrix_library::open() { return std::make_shared<plain_loops>(); }

struct matrix_product::prepared {
  product_form form;
};

matrix_product::matrix_product(const product_form& form, const product_operands&, context&)
    : prepared_(std::make_unique<prepared>(prepared{form})) {}
matrix_product::~matrix_product() = default;
matrix_product::matrix_product(matrix_product&&) noexcept = default;
matrix_product& matrix_product::operator=(matrix_product&&) noexcept = default;

void matrix_product::run(const product_operands& at, context&) {
  emulator::submit([form = prepared_->form, at] { multiply(form, at); });
}

}  // namespace eva::cuda
