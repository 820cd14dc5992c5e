#pragma once
// Column sums of a matrix, in an order that depends only on its size. Static: every file that launches the
// kernel has its own copy.

#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {

inline constexpr int column_sums_warps = 8;

/// Elements of a matrix whose rows are `stride` elements apart.
template <class T> struct matrix_rows {
  static constexpr int blocks_per_multiprocessor = 4;  // with groups of bf16, 16 KiB of loads in flight
  const T* from;
  int64_t stride;

  template <int Width> __device__ void operator()(int64_t row, int64_t column, float (&x)[Width]) const {
    load_elements(from + row * stride + column, x);
  }
};

// A block sums 32 * Width adjacent columns over one of `parts` ranges of rows; sums is [parts, columns].
// rows(row, column, x) gives Width elements, and may store them somewhere, too.
// Expected bound: HBM bandwidth; reads each element once.
template <int Width, class Rows>
static __global__ void __launch_bounds__(column_sums_warps* device::warp_size,
                                         Rows::blocks_per_multiprocessor)
    column_sums_kernel(Rows elements, int64_t rows, int64_t columns, int parts, float* sums) {
  constexpr int block_columns = device::warp_size * Width;
  const int part = device::block_index() % parts;
  const int64_t lane_column = device::lane_index() * Width;
  const int64_t column = int64_t(device::block_index() / parts) * block_columns + lane_column;
  const int64_t end = rows * (part + 1) / parts;
  float total[Width] = {};
  if (column < columns) {
    for (int64_t row = rows * part / parts + device::warp_index(); row < end; row += column_sums_warps) {
      float x[Width];
      elements(row, column, x);
      for (int i = 0; i < Width; ++i) total[i] += x[i];
    }
  }
  const auto warp_sums = device::shared_at<float>(0);
  for (int i = 0; i < Width; ++i) warp_sums.store(device::thread_index() * Width + i, total[i]);
  device::block_barrier();
  if (device::warp_index() != 0 || column >= columns) return;
  for (int i = 0; i < Width; ++i) {
    float sum = 0;
    for (int warp = 0; warp < column_sums_warps; ++warp)
      sum += warp_sums.load(warp * block_columns + int(lane_column) + i);
    sums[part * columns + column + i] = sum;
  }
}

/// sums [columns] = the column sums of a matrix of such elements; `is_aligned`: in groups.
template <class Rows>
static void sum_columns(const Rows& elements, int64_t rows, int64_t columns, bool is_aligned, float* sums,
                        context& c) {
  for_width(is_aligned, [&]<int Width>(width<Width>) {
    constexpr int threads = column_sums_warps * device::warp_size;
    const int64_t column_blocks = (columns + device::warp_size * Width - 1) / (device::warp_size * Width);
    // All blocks are resident, with at least 64 rows each.
    const int64_t resident = Rows::blocks_per_multiprocessor * c.properties.multiprocessors,
                  max_parts = std::max<int64_t>(1, resident / std::max<int64_t>(1, column_blocks));
    const int parts = int(std::clamp<int64_t>(rows / 64, 1, max_parts));
    float* partial = parts == 1 ? sums : c.scratch.take<float>(parts * columns);
    device::launch(column_sums_kernel<Width, Rows>, int(column_blocks) * parts, threads,
                   threads * Width * int(sizeof(float)), c.stream, elements, rows, columns, parts, partial);
    if (parts > 1) add_up_columns(partial, parts, columns, sums, c);
  });
}

/// sums [columns] = the column sums of from [rows, columns], whose rows are row_stride elements apart.
template <class T>
static void column_sums(const T* from, int64_t rows, int64_t columns, int64_t row_stride, float* sums,
                        context& c) {
  const bool is_aligned =
      reinterpret_cast<uintptr_t>(from) % 16 == 0 && row_stride % group == 0 && columns % group == 0;
  sum_columns(matrix_rows<T>{from, row_stride}, rows, columns, is_aligned, sums, c);
}

}  // namespace eva::cuda
