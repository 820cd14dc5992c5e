#include "product.h"

#include <bit>
#include <cstring>

#include "cublas_lt.h"

namespace eva::cublaslt_stand_in {
namespace {

void check_layout(const matrix& m, bool is_written) {
  require(m.rows > 0 && m.columns > 0, "a matrix has no rows or no columns");
  require(m.stride >= m.rows, "a leading dimension is smaller than the number of rows");
  require(m.batch > 0, "a batch has no matrices");
  require(m.batch == 1 || m.batch_stride > 0 || !is_written, "the results of a batch have no stride");
  require(m.batch == 1 || !is_written || m.batch_stride >= (m.columns - 1) * m.stride + m.rows,
          "the results of a batch overlap");
}

bool same_layout(const matrix& one, const matrix& other) {
  return one.type == other.type && one.rows == other.rows && one.columns == other.columns;
}

float load(const void* from, element type, int64_t i) {
  if (type == element::f32) return static_cast<const float*>(from)[i];
  return std::bit_cast<float>(uint32_t(static_cast<const uint16_t*>(from)[i]) << 16);
}

void store(void* to, element type, int64_t i, float value) {
  if (type == element::f32) {
    static_cast<float*>(to)[i] = value;
    return;
  }
  const auto bits = std::bit_cast<uint32_t>(value);
  static_cast<uint16_t*>(to)[i] =
      value != value ? uint16_t(0x7fff) : uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

static_assert(CUBLAS_STATUS_INVALID_VALUE == 7);
void require(bool holds, const std::string& otherwise, int status) {
  if (!holds) throw refusal{status, otherwise};
}

void product::check() const {
  for (const matrix* each : {&a, &b, &c}) check_layout(*each, false);
  check_layout(d, true);
  const int64_t a_rows = transpose_a ? a.columns : a.rows, b_rows = transpose_b ? b.columns : b.rows;
  require(a_rows == d.rows, "the rows of op(A) and D differ");
  require((transpose_b ? b.rows : b.columns) == d.columns, "the columns of op(B) and D differ");
  require(inner() == b_rows, "the columns of op(A) and the rows of op(B) differ");
  require(same_layout(c, d), "C and D differ in type or shape");
  require(a.batch == b.batch && a.batch == c.batch && a.batch == d.batch, "the batches differ in size");
  require(a.type == b.type, "A and B have different types", CUBLAS_STATUS_NOT_SUPPORTED);
  require(d.type == element::f32 || a.type == element::bf16, "f32 operands have a bf16 result",
          CUBLAS_STATUS_NOT_SUPPORTED);
  require(!has_bias || bias_type == d.type, "the bias does not have D's type", CUBLAS_STATUS_NOT_SUPPORTED);
}

uint64_t product::hash() const {
  uint64_t hash = 14695981039346656037u;
  const auto add = [&](int64_t value) { hash = (hash ^ uint64_t(value)) * 1099511628211u; };
  for (const matrix* m : {&a, &b, &c, &d})
    for (const int64_t value : {int64_t(m->type), m->rows, m->columns, m->stride, m->batch, m->batch_stride})
      add(value);
  for (const bool value : {transpose_a, transpose_b, has_bias}) add(value);
  return hash;
}

void multiply(const product& p, const operands& at, int64_t first) {
  const int64_t inner = p.inner();
  for (int64_t n = 0; n < p.d.batch; ++n)
    for (int64_t j = 0; j < p.d.columns; ++j)
      for (int64_t i = 0; i < p.d.rows; ++i) {
        float sum = 0;
        for (int64_t step = 0, k = first; step < inner; ++step, k = k + 1 < inner ? k + 1 : 0)
          sum += load(at.a, p.a.type,
                      n * p.a.batch_stride + (p.transpose_a ? i * p.a.stride + k : k * p.a.stride + i)) *
                 load(at.b, p.b.type,
                      n * p.b.batch_stride + (p.transpose_b ? k * p.b.stride + j : j * p.b.stride + k));
        sum *= at.alpha;
        if (at.beta != 0) sum += at.beta * load(at.c, p.c.type, n * p.c.batch_stride + j * p.c.stride + i);
        if (p.has_bias) sum += load(at.bias, p.bias_type, i);
        store(at.d, p.d.type, n * p.d.batch_stride + j * p.d.stride + i, sum);
      }
}

}  // namespace eva::cublaslt_stand_in
