#include "cuda/clip_loss/score_tile.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;

__global__ void clear_flag_kernel(int* flag) {
  if (thread_index() == 0) *flag = 0;
}

// high + low = x [batch, columns] to 16 bits, padded to `stride` columns; *inexact = 1 where a low half is
// not zero.
__global__ void __launch_bounds__(threads)
    split_rows_kernel(const float* x, bf16* high, bf16* low, int* inexact, int64_t count, int64_t columns,
                      int64_t stride) {
  for_groups<1>(count, [&](int64_t i, width<1>) {
    const int64_t row = i / stride, column = i % stride;
    const float value = column < columns ? x[row * columns + column] : 0.0f;
    const bf16 upper = to_bf16(value);
    const float rest = value - to_float(upper);
    high[i] = upper;
    low[i] = to_bf16(rest);
    if (rest != 0.0f) *inexact = 1;  // NaN as well
  });
}

}  // namespace

split_sides split(const float* image, const float* text, int64_t batch, int64_t embedding, std::byte* memory,
                  const context& c) {
  const int64_t stride = split_sides::stride_of(embedding), count = batch * stride;
  auto* const inexact = reinterpret_cast<int*>(memory);
  auto* const halves = reinterpret_cast<bf16*>(memory + 256);
  launch(clear_flag_kernel, 1, warp_lanes, 0, c.stream, inexact);
  for (int side = 0; side < 2; ++side)
    launch(split_rows_kernel, blocks_of(count, threads), threads, 0, c.stream, side == 0 ? image : text,
           halves + 2 * side * count, halves + (2 * side + 1) * count, inexact, count, embedding, stride);
  return {{halves, halves + count, batch, stride},
          {halves + 2 * count, halves + 3 * count, batch, stride},
          inexact};
}

}  // namespace eva::cuda
