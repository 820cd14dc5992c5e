#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/shared.cuh"
#include "cuda/device/thread.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int sum_warps = 32;

// A block sums 32 columns: warp w takes rows w, w + 32, …, and warp 0 adds the sums of the warps.
// Expected bound: HBM bandwidth; reads partials once.
__global__ void __launch_bounds__(sum_warps* warp_size)
    add_up_columns_kernel(const float* partials, int64_t parts, int64_t columns, float* out) {
  const auto sums = shared_at<float>(0);  // [warps, 32]
  const int64_t column = int64_t(block_index()) * warp_size + lane_index();
  float sum = 0;
  if (column < columns)
    for (int64_t part = warp_index(); part < parts; part += sum_warps)
      sum += partials[part * columns + column];
  sums.store(thread_index(), sum);
  block_barrier();
  if (warp_index() != 0 || column >= columns) return;
  float total = 0;
  for (int warp = 0; warp < sum_warps; ++warp) total += sums.load(warp * warp_size + lane_index());
  out[column] = total;
}

}  // namespace

void add_up_columns(const float* partials, int64_t parts, int64_t columns, float* out, context& c) {
  if (out == nullptr) return;
  launch(add_up_columns_kernel, int((columns + warp_size - 1) / warp_size), sum_warps * warp_size,
         int(sizeof(float)) * sum_warps * warp_size, c.stream, partials, parts, columns, out);
}

}  // namespace eva::cuda
