#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/shared.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int sum_warps = 32;

// A block adds up 32 columns; every warp takes each 32nd row, and warp 0 adds the warps' sums.
__global__ void __launch_bounds__(sum_warps* warp_lanes)
    add_up_columns_kernel(const float* partials, int64_t parts, int64_t columns, float* out) {
  const auto sums = shared_at<float>(0);  // [warps, 32]
  const int64_t column = int64_t(block_index()) * warp_lanes + lane_index();
  float sum = 0;
  if (column < columns)
    for (int64_t part = warp_index(); part < parts; part += sum_warps)
      sum += partials[part * columns + column];
  sums.store(thread_index(), sum);
  block_barrier();
  if (warp_index() != 0 || column >= columns) return;
  float total = 0;
  for (int warp = 0; warp < sum_warps; ++warp) total += sums.load(warp * warp_lanes + lane_index());
  out[column] = total;
}

}  // namespace

void add_up_columns(const float* partials, int64_t parts, int64_t columns, float* out, context& c) {
  if (out == nullptr) return;
  launch(add_up_columns_kernel, int((columns + warp_lanes - 1) / warp_lanes), sum_warps * warp_lanes,
         int(sizeof(float)) * sum_warps * warp_lanes, c.stream, partials, parts, columns, out);
}

}  // namespace eva::cuda
