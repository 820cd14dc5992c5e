#pragma once
// Stable sort of the items of a scatter-add by destination: a radix sort of 8 bits per pass, without atomics,
// so items of equal destination stay in order.

#include "cuda/context.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/device/scan.cuh"

namespace eva::cuda {

/// Row `from` of the source is added to row `to` of the result; ignored if `to` is out of range.
struct alignas(8) scattered {
  int from, to;
};

/// Tuning: a warp counts its own items, 32 at a time, in shared memory of its own.
inline constexpr int sort_warps = 8, sort_threads = sort_warps * device::warp_size;
inline constexpr int sort_digits = 256;  // one per thread where a block adds up counts
inline constexpr int sort_block_items = 2048;
/// 40 registers per thread, and 48 KiB of counts; where none is stated, ptxas spills in order to fit in 32.
inline constexpr int sort_blocks_per_multiprocessor = 6;
static_assert(sort_digits == sort_threads);

/// Items in device memory, and how many there are.
struct item_list {
  const scattered* items;
  const int* size;
};

/// What every pass reads: items from a function of their index, of which some are out of range, or a list.
template <class Items> struct item_source {
  Items items;
  int count, rows;

  __device__ scattered operator()(int i) const {
    const scattered item = i < count ? items(i) : scattered{0, -1};
    return {item.from, 0 <= item.to && item.to < rows ? item.to : -1};
  }
};
template <> struct item_source<item_list> {
  item_list list;
  int count, rows;

  __device__ scattered operator()(int i) const { return i < *list.size ? list.items[i] : scattered{0, -1}; }
};

/// The digit of an item by which a pass sorts; sort_digits if the item is ignored.
__device__ inline int digit_of(scattered item, int shift) {
  return item.to < 0 ? sort_digits : item.to >> shift & (sort_digits - 1);
}

/// The warp's range of items: consecutive ranges of blocks, in each of them consecutive ranges of warps.
struct item_range {
  int begin, end;

  __device__ explicit item_range(int count) {
    const int64_t warps = int64_t(device::grid_blocks()) * sort_warps,
                  mine = int64_t(device::block_index()) * sort_warps + device::warp_index();
    begin = int(count * mine / warps);
    end = int(count * (mine + 1) / warps);
  }
};

/// The counts of digits of each warp in shared memory.
struct digit_counts {
  device::shared_array<int> data = device::shared_at<int>(0);  // [warps, digits]
  static constexpr int bytes = sort_warps * sort_digits * int(sizeof(int));

  static __device__ int at(int warp, int digit) { return warp * sort_digits + digit; }

  /// The counts of the warp's items. Every thread of the block must call it.
  template <class Source> __device__ void count(const Source& source, int shift) const {
    for (int digit = device::lane_index(); digit < sort_digits; digit += device::warp_size)
      data.store(at(device::warp_index(), digit), 0);
    device::warp_barrier();
    for_each(source, shift, [&](scattered, int, int) {});
    device::block_barrier();
  }

  /// Calls visit(item, place, digit) for the warp's items; place is the digit's count before the item.
  template <class Source, class Visit>
  __device__ void for_each(const Source& source, int shift, const Visit& visit) const {
    const item_range range(source.count);
    for (int first = range.begin; first < range.end; first += device::warp_size) {
      const int i = first + device::lane_index();
      const scattered item = i < range.end ? source(i) : scattered{0, -1};
      const int digit = digit_of(item, shift);
      const uint32_t equal = device::warp_match(digit);
      const int before = digit < sort_digits ? data.load(at(device::warp_index(), digit)) : 0;
      device::warp_barrier();
      if (digit < sort_digits) {
        if (device::lanes_before(equal) == 0)
          data.store(at(device::warp_index(), digit), before + device::count_lanes(equal));
        visit(item, before + device::lanes_before(equal), digit);
      }
      device::warp_barrier();
    }
  }
};

// counts [blocks, digits] = how many items of each block have each digit.
// Expected bound: latency; reads the items once.
template <class Source>
static __global__ void __launch_bounds__(sort_threads, sort_blocks_per_multiprocessor)
    count_digits_kernel(Source source, int shift, int* counts) {
  const digit_counts digits;
  digits.count(source, shift);
  int sum = 0;
  for (int warp = 0; warp < sort_warps; ++warp)
    sum += digits.data.load(digit_counts::at(warp, device::thread_index()));
  counts[device::block_index() * sort_digits + device::thread_index()] = sum;
}

/// The sum of value over the block's threads before this one. scratch: one int per warp.
__device__ inline int sum_before(int value, device::shared_array<int> scratch) {
  int sum = value;
  for (int distance = 1; distance < device::warp_size; distance *= 2) {
    const int other = device::shuffle(sum, (device::lane_index() - distance) & (device::warp_size - 1));
    if (device::lane_index() >= distance) sum += other;
  }
  if (device::lane_index() == device::warp_size - 1) scratch.store(device::warp_index(), sum);
  device::block_barrier();
  for (int warp = 0; warp < device::warp_index(); ++warp) sum += scratch.load(warp);
  return sum - value;
}

// sorted = the items in the order of their digits; size = how many they are. Each block adds up the counts of
// all blocks itself.
// Expected bound: L2 bandwidth; reads 1 KiB per block, and the items once.
template <class Source>
static __global__ void __launch_bounds__(sort_threads, sort_blocks_per_multiprocessor)
    sort_by_digit_kernel(Source source, int shift, const int* counts, scattered* sorted, int* size) {
  const digit_counts digits;
  digits.count(source, shift);
  const int digit = device::thread_index();
  int total = 0, place = 0;
#pragma unroll 8
  for (int block = 0; block < device::grid_blocks(); ++block) {
    const int count = counts[block * sort_digits + digit];
    if (block < device::block_index()) place += count;
    total += count;
  }
  const int smaller = sum_before(total, device::shared_at<int>(digit_counts::bytes));
  place += smaller;
  if (device::block_index() == 0 && digit == sort_digits - 1) *size = smaller + total;
  for (int warp = 0; warp < sort_warps; ++warp) {
    const int count = digits.data.load(digit_counts::at(warp, digit));
    digits.data.store(digit_counts::at(warp, digit), place);
    place += count;
  }
  device::block_barrier();
  digits.for_each(source, shift, [&](scattered item, int at, int) { sorted[at] = item; });
}

/// The sort's memory: two lists, of which passes read one and write the other, and the counts.
struct sort_memory {
  scattered* lists[2];  // [count]
  int *counts, *sizes;  // [blocks, digits], [2]
};

inline int sort_blocks(int64_t count, const context& c) {
  return int(
      std::min<int64_t>((count + sort_block_items - 1) / sort_block_items, 2 * c.properties.multiprocessors));
}

/// The items with a destination in 0 … rows - 1, sorted by destination.
template <class Items>
item_list sort_items(const Items& items, int count, int rows, const sort_memory& memory, const context& c) {
  const int blocks = sort_blocks(count, c);
  item_list sorted{};
  const auto pass = [&](const auto& source, int shift) {
    const int to = shift / 8 % 2;
    device::launch(count_digits_kernel<std::decay_t<decltype(source)>>, blocks, sort_threads,
                   digit_counts::bytes, c.stream, source, shift, memory.counts);
    device::launch(sort_by_digit_kernel<std::decay_t<decltype(source)>>, blocks, sort_threads,
                   digit_counts::bytes + sort_warps * int(sizeof(int)), c.stream, source, shift,
                   memory.counts, memory.lists[to], memory.sizes + to);
    sorted = {memory.lists[to], memory.sizes + to};
  };
  pass(item_source<Items>{items, count, rows}, 0);
  for (int shift = 8; (int64_t(rows) - 1) >> shift > 0; shift += 8)
    pass(item_source<item_list>{sorted, count, rows}, shift);
  return sorted;
}

}  // namespace eva::cuda
