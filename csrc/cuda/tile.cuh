#pragma once
// A row-major bf16 matrix in shared memory, laid out so that eight rows of a 16-byte chunk fall in different
// banks.

#include "cuda/device/copy.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda {

// Columns: a multiple of 16. Rows of 32, 64 or 128 bytes have their chunks permuted (XOR); others get one
// chunk more, which makes their number odd.
template <int Columns> struct tile {
  static_assert(Columns % 16 == 0);
  static constexpr int chunks = Columns / 8;
  static constexpr bool permuted = 8 % chunks == 0;
  static constexpr int stride = permuted ? Columns : Columns + 8;

  static __host__ __device__ constexpr int bytes(int rows) { return rows * stride * 2; }
  static __device__ tile at(int byte_offset) { return {device::shared_at<device::bf16>(byte_offset)}; }

  device::shared_array<device::bf16> data;

  __device__ int element(int row, int chunk) const {
    return row * stride + 8 * (permuted ? chunk ^ (row * chunks / 8) % chunks : chunk);
  }

  // 16 x 16 operands from row, column. "a": rows are the product's rows; "b": rows are its columns, words 0,
  // 1 are its first eight columns and words 2, 3 the others. Transposed: the memory's columns are what rows
  // were.
  __device__ device::matrices load_a(int row, int column) const {
    return device::load_matrices(data, rows_first(row, column));
  }
  __device__ device::matrices load_b(int row, int column) const {
    return device::load_matrices(data, columns_first(row, column));
  }
  __device__ device::matrices load_a_transposed(int row, int column) const {
    return device::load_matrices_transposed(data, columns_first(row, column));
  }
  __device__ device::matrices load_b_transposed(int row, int column) const {
    return device::load_matrices_transposed(data, rows_first(row, column));
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
  __device__ int rows_first(int row, int column) const {
    const int lane = device::lane_index();
    return moved(element(row + lane % 16, lane / 16), column);
  }
  __device__ int columns_first(int row, int column) const {
    const int lane = device::lane_index();
    return moved(element(row + lane % 8 + lane / 16 * 8, lane / 8 % 2), column);
  }
  // The element that lies `column`, a multiple of 16, behind one in the first two chunks of a row: one
  // instruction with a constant column, so that unrolled loops keep no address a step in a register.
  static __device__ int moved(int element, int column) {
    return permuted ? element ^ column : element + column;
  }
};

}  // namespace eva::cuda
