#pragma once
// A row-major bf16 matrix in shared memory, swizzled or padded so that ldmatrix, which reads a 16-byte chunk
// of eight rows, has no bank conflicts.

#include "cuda/device/copy.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda {

/// Rows of 32, 64 or 128 bytes have their 16-byte chunks swizzled (XOR with the row); longer rows are padded
/// by one chunk, which makes the number of chunks odd.
template <int Columns> struct tile {
  static_assert(Columns % 16 == 0);
  static constexpr int chunks = Columns / 8;
  static constexpr bool swizzled = 8 % chunks == 0;
  static constexpr int pitch = swizzled ? Columns : Columns + 8;

  static __host__ __device__ constexpr int bytes(int rows) { return rows * pitch * 2; }
  static __device__ tile at(int byte_offset) { return {device::shared_at<device::bf16>(byte_offset)}; }

  device::shared_array<device::bf16> data;

  __device__ int element(int row, int chunk) const {
    return row * pitch + 8 * (swizzled ? chunk ^ (row * chunks / 8) % chunks : chunk);
  }

  // 16 x 16 MMA operands whose first element is at (row, column). load_a: the A fragment of the stored [m, k]
  // rows. load_b: the B fragments of the stored [n, k] rows, words 0 and 1 for n = 0 … 7, words 2 and 3 for n
  // = 8 … 15. The transposed ones load the same fragments from stored [k, m] and [k, n] rows.
  __device__ device::fragment load_a(int row, int column) const {
    return device::ldmatrix_x4(data, rows_first(row, column));
  }
  __device__ device::fragment load_b(int row, int column) const {
    return device::ldmatrix_x4(data, columns_first(row, column));
  }
  __device__ device::fragment load_a_transposed(int row, int column) const {
    return device::ldmatrix_x4_transposed(data, columns_first(row, column));
  }
  __device__ device::fragment load_b_transposed(int row, int column) const {
    return device::ldmatrix_x4_transposed(data, rows_first(row, column));
  }

  __device__ device::vector16 load_chunk(int row, int chunk) const {
    return data.template as<device::vector16>().load(element(row, chunk) / 8);
  }
  __device__ void store_chunk(int row, int chunk, device::vector16 v) const {
    data.template as<device::vector16>().store(element(row, chunk) / 8, v);
  }
  __device__ void store_pair(int row, int column, uint32_t two) const {  // column is even
    data.template as<uint32_t>().store((element(row, column / 8) + column % 8) / 2, two);
  }

 private:
  // The row that a lane addresses for ldmatrix. The four 8 x 8 matrices of a 16 x 16 operand are in the order
  // of rows, then columns (rows_first), or of columns, then rows.
  __device__ int rows_first(int row, int column) const {
    const int lane = device::lane_index();
    return advance(element(row + lane % 16, lane / 16), column);
  }
  __device__ int columns_first(int row, int column) const {
    const int lane = device::lane_index();
    return advance(element(row + lane % 8 + lane / 16 * 8, lane / 8 % 2), column);
  }
  // Advances an element of a row's first two chunks by `column`, a multiple of 16. With a constant column
  // this is one instruction, so unrolled loops need no address register per step.
  static __device__ int advance(int element, int column) {
    return swizzled ? element ^ column : element + column;
  }
};

}  // namespace eva::cuda
