#pragma once

#include <utility>

#include "core/dtype.h"

namespace eva {

/// Memory layout of a matrix, or of `batch` matrices of the same shape. Strides are in elements.
struct matrix_layout {
  dtype type = dtype::none;  // f32 or bf16; none: no matrix
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 1;
  int64_t batch = 1;
  int64_t batch_stride = 0;
};

/// A slice of `columns` columns of a row-major matrix with `row_stride` columns.
inline matrix_layout column_slice(dtype type, int64_t rows, int64_t columns, int64_t row_stride) {
  return {.type = type, .rows = rows, .columns = columns, .row_stride = row_stride};
}

/// A dense row-major matrix.
inline matrix_layout dense(dtype type, int64_t rows, int64_t columns) {
  return column_slice(type, rows, columns, columns);
}

/// The transpose: the same memory with rows and columns exchanged.
inline matrix_layout transposed(matrix_layout m) {
  std::swap(m.rows, m.columns);
  std::swap(m.row_stride, m.column_stride);
  return m;
}

}  // namespace eva
