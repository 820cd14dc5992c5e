#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/shared.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int sum_warps = 32;

struct column_ranges {
  static constexpr int most = 3;
  column_range all[most];
  int64_t first[most + 1];  // columns of partials
};

// A block sums 32 columns of one range: warp w takes rows w, w + 32, …, and warp 0 adds the sums of the
// warps. Expected bound: HBM bandwidth; reads partials once, most of them from L2.
__global__ void __launch_bounds__(sum_warps* warp_size)
    add_up_columns_kernel(const float* partials, int64_t parts, column_ranges ranges, int blocks_per_range) {
  const auto sums = shared_at<float>(0);  // [warps, 32]
  const int range = block_index() / blocks_per_range;
  const int64_t column = int64_t(block_index() % blocks_per_range) * warp_size + lane_index();
  float* out = nullptr;
  int64_t columns = 0, first = 0;
#pragma unroll
  for (int i = 0; i < column_ranges::most; ++i)  // not indexed by `range`, which would copy them to the stack
    if (i == range) {
      out = ranges.all[i].out;
      columns = ranges.all[i].columns;
      first = ranges.first[i];
    }
  if (!out) return;
  const float* const from = partials + first + column;
  const int64_t stride = ranges.first[column_ranges::most];
  float sum = 0;
  if (column < columns)
    for (int64_t part = warp_index(); part < parts; part += sum_warps) sum += from[part * stride];
  sums.store(thread_index(), sum);
  block_barrier();
  if (warp_index() != 0 || column >= columns) return;
  float total = 0;
  for (int warp = 0; warp < sum_warps; ++warp) total += sums.load(warp * warp_size + lane_index());
  out[column] = total;
}

}  // namespace

void add_up_columns(const float* partials, int64_t parts, std::initializer_list<column_range> outputs,
                    context& c) {
  column_ranges ranges{};
  int64_t column = 0, widest = 0;
  int count = 0;
  for (const column_range& range : outputs) {
    ranges.first[count] = column;
    ranges.all[count++] = range;
    column += range.columns;
    if (range.out) widest = std::max(widest, range.columns);
  }
  ranges.first[column_ranges::most] = column;
  const int blocks = int((widest + warp_size - 1) / warp_size);
  launch(add_up_columns_kernel, count * blocks, sum_warps * warp_size,
         int(sizeof(float)) * sum_warps * warp_size, c.stream, partials, parts, ranges, blocks);
}

void add_up_columns(const float* partials, int64_t parts, int64_t columns, float* out, context& c) {
  add_up_columns(partials, parts, {{out, columns}}, c);
}

}  // namespace eva::cuda
