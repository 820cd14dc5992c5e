#pragma once
// Deterministic scatter-add of rows: the gradient of a lookup. A block owns a few destination rows, iterates
// over all items and adds those with these destinations. It needs no atomics, and the order of each sum is
// fixed: each warp's range of items in ascending order, then the warps.

#include "core/error.h"
#include "cuda/context.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/scan.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {

/// Row `from` of the source is added to row `to` of the result; ignored if `to` is out of range.
struct scattered {
  int from, to;
};

/// The warps' partial sums in shared memory. A lane's columns are 32 elements apart, so that lanes use
/// different banks.
template <int Width, int Warps, int Rows> struct scatter_sums {
  static constexpr int columns = device::warp_size * Width;
  static constexpr int bytes = Warps * Rows * columns * int(sizeof(float));

  device::shared_array<float> data = device::shared_at<float>(0);  // [Warps, Rows, Width, lanes]

  static __device__ int element(int warp, int row, int j, int lane) {
    return ((warp * Rows + row) * Width + j) * device::warp_size + lane;
  }
  __device__ void clear() const {
    for (int row = 0; row < Rows; ++row)
      for (int j = 0; j < Width; ++j) data.store(mine(row, j), 0.0f);
  }
  __device__ void add(int row, const float (&values)[Width]) const {
    for (int j = 0; j < Width; ++j) data.store(mine(row, j), data.load(mine(row, j)) + values[j]);
  }
  __device__ float total(int row, int column) const {
    float sum = 0;
    for (int warp = 0; warp < Warps; ++warp)
      sum += data.load(element(warp, row, column % Width, column / Width));
    return sum;
  }

 private:
  static __device__ int mine(int row, int j) {
    return element(device::warp_index(), row, j, device::lane_index());
  }
};

/// Adds those of the warp's 32 items whose bit in `wanted` is set, with a few loads in flight at a time.
/// `from` and `row` are the lane's item.
template <int Width, class Sums, class T>
__device__ void add_items(const Sums& sums, uint32_t wanted, int from, int row, const T* source,
                          int64_t columns, bool active) {
  constexpr int in_flight = 4;
  while (wanted != 0) {
    float values[in_flight][Width];
    int rows[in_flight];
    int taken = 0;
#pragma unroll
    for (int load = 0; load < in_flight; ++load) {
      if (wanted == 0) break;
      const int lane = device::first_lane(wanted);
      wanted &= wanted - 1;
      rows[load] = device::shuffle(row, lane);
      const int64_t source_row = device::shuffle(from, lane);
      if (active) load_elements(source + source_row * columns, values[load]);
      taken = load + 1;
    }
#pragma unroll
    for (int load = 0; load < in_flight; ++load)
      if (active && load < taken) sums.add(rows[load], values[load]);
  }
}

// to [rows, columns] = scatter-add of the rows of source [.., columns] by items(0 … count - 1). Each block
// owns Rows rows.
// Expected bound: the loop over the items, which every block iterates. At least four blocks per SM.
template <int Width, int Warps, int Rows, class Items, class T, class Sum>
__global__ void __launch_bounds__(Warps* device::warp_size, 4)
    scatter_rows_kernel(Items items, int count, const T* source, Sum* to, int rows, int64_t columns) {
  using sums_type = scatter_sums<Width, Warps, Rows>;
  const sums_type sums;
  const int64_t parts = (columns + sums_type::columns - 1) / sums_type::columns;
  const auto first_row = int(device::block_index() / parts * Rows);
  const int64_t first_column = device::block_index() % parts * sums_type::columns;
  const int64_t column = first_column + device::lane_index() * Width;
  sums.clear();
  const auto begin = int(int64_t(count) * device::warp_index() / Warps);
  const auto end = int(int64_t(count) * (device::warp_index() + 1) / Warps);
  for (int base = begin; base < end; base += device::warp_size) {
    const int i = base + device::lane_index();
    const scattered item = i < end ? items(i) : scattered{0, -1};
    const int row = item.to - first_row;
    const bool is_mine = item.to >= 0 && 0 <= row && row < Rows && item.to < rows;
    add_items<Width>(sums, device::warp_ballot(is_mine), item.from, is_mine ? row : 0, source + column,
                     columns, column < columns);
  }
  device::block_barrier();
  for (int i = device::thread_index(); i < Rows * sums_type::columns; i += device::block_threads()) {
    const int row = i / sums_type::columns, offset = i % sums_type::columns;
    if (first_row + row >= rows || first_column + offset >= columns) continue;
    const float sum[1] = {sums.total(row, offset)};
    store_elements(to + int64_t(first_row + row) * columns + first_column + offset, sum);
  }
}

template <int Width, int Warps, int Rows, class Items, class T, class Sum>
void launch_scatter(Items items, int count, const T* source, Sum* to, int rows, int64_t columns,
                    const context& c) {
  using sums_type = scatter_sums<Width, Warps, Rows>;
  const int64_t parts = (columns + sums_type::columns - 1) / sums_type::columns;
  device::launch(scatter_rows_kernel<Width, Warps, Rows, Items, T, Sum>,
                 int((rows + Rows - 1) / Rows * parts), Warps * device::warp_size, sums_type::bytes, c.stream,
                 items, count, source, to, rows, columns);
}

/// With few destination rows, blocks have many warps; with many (a vocabulary), blocks own more rows, to
/// iterate over the items fewer times.
template <class Items, class Sum>
void scatter_rows(Items items, int64_t count, const tensor& source, Sum* to, int64_t rows, const context& c) {
  const int64_t columns = source.columns();
  constexpr int64_t many_rows = 2048, max_rows = int64_t(1) << 30;
  if (std::max({count, source.rows(), rows}) > max_rows)
    throw argument_error("a scatter-add supports at most 2^30 rows");
  for_element_type(source.type, [&]<class T>(T*) {
    for_width<4>(columns % 4 == 0 && aligned(source), [&]<int Width>(width<Width>) {
      if (rows >= many_rows)
        launch_scatter<Width, 2, 32>(items, int(count), source.as<T>(), to, int(rows), columns, c);
      else
        launch_scatter<Width, 8, 4>(items, int(count), source.as<T>(), to, int(rows), columns, c);
    });
  });
}

}  // namespace eva::cuda
