#pragma once
// Deterministic scatter-add of rows: the gradient of a lookup. The items are sorted by destination, and warps
// add up parts of the sorted list; what belongs to a destination that spans several parts is added in a
// second step. The work is proportional to the items, the order of each sum is fixed, and there are no
// atomics. The kernels are static: every file that launches one has its own copy.

#include "core/error.h"
#include "cuda/elements.cuh"
#include "cuda/scatter/sorted_items.cuh"

namespace eva::cuda {

inline constexpr int scatter_warps = 4, scatter_threads = scatter_warps * device::warp_size;
/// 40 registers per thread; where none is stated, ptxas spills in order to fit in 32.
inline constexpr int spanning_blocks = 12;

/// A scatter-add of sorted items; `length` of them are one part.
template <class T, class Sum> struct scatter_arguments {
  item_list list;
  int length;
  const T* source;  // [.., columns]
  Sum* to;          // [rows, columns]
  // [parts, columns] each: the sums of a part's first destination if it has items in earlier parts, and
  // otherwise of its last one if it has items in the next part.
  float *continued, *opened;
  int64_t columns;

  __device__ int begin(int part) const { return min(part * length, *list.size); }
  /// Whether items on both sides of a part's end have the same destination.
  __device__ bool spans(int part_end) const {
    return 0 < part_end && part_end < *list.size && list.items[part_end - 1].to == list.items[part_end].to;
  }
  /// The end of the items of destination `row`, of which `some` is one.
  __device__ int end_of(int row, int some) const {
    int last = *list.size;
    while (last - some > 1) {
      const int middle = some + (last - some) / 2;
      (list.items[middle].to == row ? some : last) = middle;
    }
    return last;
  }
};

/// The columns of a lane and the part of its warp; a warp has Width · 32 adjacent columns.
template <int Width> struct part_slice {
  int part;
  int64_t column;

  __device__ explicit part_slice(int64_t columns) {
    constexpr int slice_columns = device::warp_size * Width;
    const int64_t slices = (columns + slice_columns - 1) / slice_columns,
                  warp = int64_t(device::block_index()) * scatter_warps + device::warp_index();
    part = int(warp / slices);
    column = warp % slices * slice_columns + device::lane_index() * Width;
  }
};

// Adds up the items of each part, one warp per part and slice of columns.
// Expected bound: HBM bandwidth; reads the source's rows once, 8 of a warp in flight.
template <int Width, class T, class Sum>
static __global__ void __launch_bounds__(scatter_threads) add_parts_kernel(scatter_arguments<T, Sum> p) {
  constexpr int in_flight = 8;
  const part_slice<Width> mine(p.columns);
  const int begin = p.begin(mine.part), end = p.begin(mine.part + 1);
  if (begin >= end) return;
  const bool is_active = mine.column < p.columns;
  float sum[Width] = {};
  bool is_continued = p.spans(begin);
  int current = p.list.items[begin].to;
  const auto store = [&](bool is_open) {
    if (!is_active) return;
    if (is_continued)
      store_elements(p.continued + mine.part * p.columns + mine.column, sum);
    else if (is_open)
      store_elements(p.opened + mine.part * p.columns + mine.column, sum);
    else
      store_elements(p.to + current * p.columns + mine.column, sum);
  };
  for (int first = begin; first < end; first += in_flight) {
    float values[in_flight][Width];
    int destinations[in_flight];
#pragma unroll
    for (int i = 0; i < in_flight; ++i) {
      const scattered item = p.list.items[min(first + i, end - 1)];
      destinations[i] = item.to;
      if (is_active) load_elements(p.source + item.from * p.columns + mine.column, values[i]);
    }
#pragma unroll
    for (int i = 0; i < in_flight; ++i) {
      if (first + i >= end) break;
      if (destinations[i] != current) {
        store(false);
        current = destinations[i];
        is_continued = false;
        for (float& each : sum) each = 0;
      }
      for (int j = 0; j < Width; ++j) sum[j] += is_active ? values[i][j] : 0;
    }
  }
  store(p.spans(end));
}

// Adds up the destinations that span several parts, by the part in which they begin.
// Expected bound: latency; reads the partial sums once.
template <int Width, class T, class Sum>
static __global__ void __launch_bounds__(scatter_threads, spanning_blocks)
    add_spanning_kernel(scatter_arguments<T, Sum> p) {
  const part_slice<Width> mine(p.columns);
  const int begin = p.begin(mine.part), end = p.begin(mine.part + 1);
  if (begin >= end || mine.column >= p.columns || !p.spans(end)) return;
  const int to = p.list.items[end].to;
  // A part that the destination fills from before has a partial sum of `continued`, to be added by another.
  if (p.spans(begin) && p.list.items[begin].to == to) return;
  float sum[Width];
  load_elements(p.opened + mine.part * p.columns + mine.column, sum);
  const int last = (p.end_of(to, end) - 1) / p.length;
#pragma unroll 8
  for (int part = mine.part + 1; part <= last; ++part) {
    float values[Width];
    load_elements(p.continued + part * p.columns + mine.column, values);
    for (int j = 0; j < Width; ++j) sum[j] += values[j];
  }
  store_elements(p.to + to * p.columns + mine.column, sum);
}

// Expected bound: HBM bandwidth; writes y once.
template <int Width, class T>
static __global__ void __launch_bounds__(256) clear_kernel(T* y, int64_t count, bool grouped) {
  const auto clear = [&]<int Count>(int64_t i, width<Count>) {
    const float zeros[Count] = {};
    store_elements(y + i, zeros);
  };
  for_groups<Width>(count, clear, grouped);
}

/// Warps of a part have enough items to hide their latency, and there are enough warps to fill the GPU.
inline int part_length(int64_t count, const context& c) {
  constexpr int shortest = 16, longest = 256, warps_per_multiprocessor = 32;
  return int(std::clamp<int64_t>(count / (warps_per_multiprocessor * c.properties.multiprocessors), shortest,
                                 longest));
}

template <int Width, class T, class Sum, class Items>
static void scatter_sorted(const Items& items, int count, const T* source, Sum* to, int rows, int64_t columns,
                           context& c) {
  device::launch(clear_kernel<group, Sum>, blocks_of(rows * columns, 256 * group), 256, 0, c.stream, to,
                 rows * columns, reinterpret_cast<uintptr_t>(to) % 16 == 0);
  if (count == 0) return;
  const int length = part_length(count, c), parts = (count + length - 1) / length;
  const int64_t list_words = 2 * int64_t(count),
                count_words = int64_t(sort_blocks(count, c)) * sort_digits + 2, sum_words = parts * columns;
  // Partial sums first: they are accessed 16 bytes at a time.
  float* const sums = c.scratch.take<float>(2 * (sum_words + list_words) + count_words);
  auto* const lists = reinterpret_cast<scattered*>(sums + 2 * sum_words);
  auto* const counts = reinterpret_cast<int*>(lists + 2 * count);
  const item_list list = sort_items(
      items, count, rows,
      sort_memory{.lists = {lists, lists + count}, .counts = counts, .sizes = counts + count_words - 2}, c);
  const scatter_arguments<T, Sum> p{list, length, source, to, sums, sums + sum_words, columns};
  const int64_t slices = (columns + device::warp_size * Width - 1) / (device::warp_size * Width);
  const int blocks = int((parts * slices + scatter_warps - 1) / scatter_warps);
  device::launch(add_parts_kernel<Width, T, Sum>, blocks, scatter_threads, 0, c.stream, p);
  device::launch(add_spanning_kernel<Width, T, Sum>, blocks, scatter_threads, 0, c.stream, p);
}

/// to [rows, columns] = scatter-add of the rows of source [.., columns] by items(0 … count - 1).
template <class Items, class Sum>
static void scatter_rows(const Items& items, int64_t count, const tensor& source, Sum* to, int64_t rows,
                         context& c) {
  const int64_t columns = source.columns();
  constexpr int64_t max_rows = int64_t(1) << 30;
  if (std::max({count, source.rows(), rows}) > max_rows)
    throw argument_error("a scatter-add supports at most 2^30 rows");
  for_element_type(source.type, [&]<class T>(T*) {
    const bool is_aligned =
        columns % group == 0 && aligned(source) && reinterpret_cast<uintptr_t>(to) % 16 == 0;
    for_width(is_aligned, [&]<int Width>(width<Width>) {
      scatter_sorted<Width>(items, int(count), source.as<const T>(), to, int(rows), columns, c);
    });
  });
}

}  // namespace eva::cuda
