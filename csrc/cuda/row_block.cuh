#pragma once
// Kernels whose blocks walk over the rows of a matrix: a thread keeps groups of 8 neighbouring columns of its
// block's row in registers, so that statistics of a row are exact and a row is read once.

#include "core/error.h"
#include "cuda/context.h"
#include "cuda/device/bf16.cuh"
#include "cuda/device/copy.cuh"
#include "cuda/device/reduce.cuh"

namespace eva::cuda {

inline constexpr int group_columns = 8, largest_row_threads = 512;

/// Threads that a row of so many columns needs, with Groups groups a thread.
constexpr int row_threads(int64_t columns, int groups) {
  const int64_t threads = (columns + groups * group_columns - 1) / (groups * group_columns);
  return int((threads + device::warp_lanes - 1) / device::warp_lanes) * device::warp_lanes;
}

/// The first column of the thread's group number `group`.
__device__ inline int64_t first_column(int group) {
  return group_columns * int64_t(device::thread_index() + group * device::block_threads());
}

/// Eight columns of a row from `column` on, zeros behind the row's end. `aligned`: rows begin at, and are
/// multiples of, 16 bytes.
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

/// How many columns of a group lie in the row.
__device__ inline int columns_left(int64_t column, int64_t columns) {
  return int(max(min(columns - column, int64_t(group_columns)), int64_t(0)));
}

/// Rows of `columns` elements from any of these addresses can be read 16 bytes at a time.
template <class... Pointers> bool rows_are_aligned(int64_t columns, Pointers... pointers) {
  return columns % group_columns == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// Blocks that fill the device with rows in flight, and no more than there are rows.
inline int row_blocks(int64_t rows, int threads, const context& c) {
  return int(std::min<int64_t>(rows, int64_t(c.properties.multiprocessors) * std::max(1, 1024 / threads)));
}

/// Calls start with the number of groups a thread keeps, as a constant, and the threads of a block.
template <class Start> void for_row_groups(const char* op, int64_t columns, const Start& start) {
  if (columns <= largest_row_threads * group_columns)
    start(std::integral_constant<int, 1>{}, row_threads(columns, 1));
  else if (columns <= 2 * largest_row_threads * group_columns)
    start(std::integral_constant<int, 2>{}, row_threads(columns, 2));
  else
    throw argument_error(std::string(op) + ": rows of " + std::to_string(columns) +
                         " columns are longer than CUDA kernels take");
}

}  // namespace eva::cuda
