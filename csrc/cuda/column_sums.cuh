#pragma once
// Column sums of a matrix, in an order that depends only on its size.

#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {

inline constexpr int column_sums_warps = 8;

// A block sums 32 * Width adjacent columns over one of `parts` ranges of rows; sums is [parts, columns].
// Expected bound: HBM bandwidth; reads `from` once. Up to four blocks per SM.
template <class T, int Width>
__global__ void __launch_bounds__(column_sums_warps* device::warp_size)
    column_sums_kernel(const T* from, int64_t rows, int64_t columns, int64_t row_stride, int parts,
                       float* sums) {
  constexpr int block_columns = device::warp_size * Width;
  const int part = device::block_index() % parts;
  const int64_t lane_column = device::lane_index() * Width;
  const int64_t column = int64_t(device::block_index() / parts) * block_columns + lane_column;
  const int64_t end = rows * (part + 1) / parts;
  float total[Width] = {};
  if (column < columns) {
    for (int64_t row = rows * part / parts + device::warp_index(); row < end; row += column_sums_warps) {
      float x[Width];
      load_elements<Width>(from + row * row_stride + column, x);
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

/// sums [columns] = the column sums of from [rows, columns], whose rows are row_stride elements apart.
template <class T>
void column_sums(const T* from, int64_t rows, int64_t columns, int64_t row_stride, float* sums, context& c) {
  const bool is_aligned =
      reinterpret_cast<uintptr_t>(from) % 16 == 0 && row_stride % group == 0 && columns % group == 0;
  for_width(is_aligned, [&]<int Width>(width<Width>) {
    constexpr int threads = column_sums_warps * device::warp_size;
    const int64_t column_blocks = (columns + device::warp_size * Width - 1) / (device::warp_size * Width);
    // Four blocks per SM, with at least 64 rows each.
    const int64_t max_parts = std::max<int64_t>(1, 4 * c.properties.multiprocessors / column_blocks);
    const int parts = int(std::clamp<int64_t>(rows / 64, 1, max_parts));
    float* partial = parts == 1 ? sums : c.scratch.take<float>(parts * columns);
    device::launch(column_sums_kernel<T, Width>, int(column_blocks) * parts, threads,
                   threads * Width * int(sizeof(float)), c.stream, from, rows, columns, row_stride, parts,
                   partial);
    if (parts > 1) add_up_columns(partial, parts, columns, sums, c);
  });
}

}  // namespace eva::cuda
