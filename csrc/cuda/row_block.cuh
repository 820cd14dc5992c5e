#pragma once
// Kernels with one row of a matrix per block at a time. Each thread keeps groups of 8 adjacent columns of the
// row in registers, so the row is read once and its statistics are computed in two passes.

#include "core/error.h"
#include "cuda/context.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

inline constexpr int group_columns = 8, max_row_threads = 512;

/// The threads that a row needs, with `groups` groups per thread.
constexpr int row_threads(int64_t columns, int groups) {
  const int64_t threads = (columns + groups * group_columns - 1) / (groups * group_columns);
  return int((threads + device::warp_size - 1) / device::warp_size) * device::warp_size;
}

/// The first column of group `group` of this thread.
__device__ inline int64_t first_column(int group) {
  return group_columns * int64_t(device::thread_index() + group * device::block_threads());
}

/// Loads eight columns of a row from `column` on, with zeros after the end of the row. `aligned`: the address
/// and the size of rows are multiples of 16 bytes.
template <class T>
__device__ void load_group(float (&x)[group_columns], const T* row, int64_t column, int64_t columns,
                           bool aligned) {
  if (aligned && column < columns) {
    if constexpr (sizeof(T) == 2) {
      const device::vector16 v = device::load_16(row + column);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const device::pair two = device::unpack_bf16(v.words[i]);
        x[2 * i] = two.first;
        x[2 * i + 1] = two.second;
      }
    } else {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const device::vector16 v = device::load_16(row + column + 4 * i);
#pragma unroll
        for (int j = 0; j < 4; ++j) x[4 * i + j] = device::as_float(v.words[j]);
      }
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < group_columns; ++i) x[i] = column + i < columns ? device::to_float(row[column + i]) : 0;
}

template <class T>
__device__ void store_group(T* row, int64_t column, int64_t columns, bool aligned,
                            const float (&x)[group_columns]) {
  if (aligned && column < columns) {
    if constexpr (sizeof(T) == 2) {
      device::store_16(row + column,
                       device::vector16{{device::pack_bf16(x[0], x[1]), device::pack_bf16(x[2], x[3]),
                                         device::pack_bf16(x[4], x[5]), device::pack_bf16(x[6], x[7])}});
    } else {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        device::store_16(row + column + 4 * i,
                         device::vector16{{device::as_word(x[4 * i]), device::as_word(x[4 * i + 1]),
                                           device::as_word(x[4 * i + 2]), device::as_word(x[4 * i + 3])}});
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < group_columns; ++i)
    if (column + i < columns) row[column + i] = device::from_float<T>(x[i]);
}

/// The number of a group's columns within the row.
__device__ inline int columns_left(int64_t column, int64_t columns) {
  return int(max(min(columns - column, int64_t(group_columns)), int64_t(0)));
}

/// Whether rows of `columns` elements at these addresses can be accessed 16 bytes at a time.
template <class... Pointers> bool rows_are_aligned(int64_t columns, Pointers... pointers) {
  return columns % group_columns == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// Grid size: enough blocks for 1,024 threads on every SM, at most one per row.
inline int row_blocks(int64_t rows, int threads, const context& c) {
  return int(std::min<int64_t>(rows, int64_t(c.properties.multiprocessors) * std::max(1, 1024 / threads)));
}

/// Calls start with the number of groups per thread, as a compile-time constant, and the threads per block.
template <class Start> void for_row_groups(const char* op, int64_t columns, const Start& start) {
  if (columns <= max_row_threads * group_columns)
    start(std::integral_constant<int, 1>{}, row_threads(columns, 1));
  else if (columns <= 2 * max_row_threads * group_columns)
    start(std::integral_constant<int, 2>{}, row_threads(columns, 2));
  else
    throw argument_error(std::string(op) + ": rows of " + std::to_string(columns) +
                         " columns exceed the limit of the CUDA kernels, " +
                         std::to_string(2 * max_row_threads * group_columns));
}

}  // namespace eva::cuda
