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

// The three parts of x [batch, columns], each padded to `stride` columns; *inexact = 1 where more than the
// first is not zero.
__global__ void __launch_bounds__(threads) split_rows_kernel(const float* x, bf16* parts, int* inexact,
                                                             int64_t count, int64_t columns, int64_t stride) {
  for_groups<1>(count, [&](int64_t i, width<1>) {
    const int64_t row = i / stride, column = i % stride;
    float rest = column < columns ? x[row * columns + column] : 0.0f;
    for (int p = 0; p < split_parts; ++p) {
      const bf16 part = to_bf16(rest);
      rest -= to_float(part);
      parts[p * count + i] = part;
      if (p == 0 && rest != 0.0f) *inexact = 1;  // NaN as well
    }
  });
}

}  // namespace

split_sides split(const float* image, const float* text, int64_t batch, int64_t embedding, std::byte* memory,
                  const context& c) {
  const int64_t stride = split_sides::stride_of(embedding), count = batch * stride;
  auto* const inexact = reinterpret_cast<int*>(memory);
  auto* const parts = reinterpret_cast<bf16*>(memory + 256);
  const split_sides sides{{parts, batch, stride}, {parts + split_parts * count, batch, stride}, inexact};
  launch(clear_flag_kernel, 1, warp_lanes, 0, c.stream, inexact);
  launch(split_rows_kernel, blocks_of(count, threads), threads, 0, c.stream, image, parts, inexact, count,
         embedding, stride);
  launch(split_rows_kernel, blocks_of(count, threads), threads, 0, c.stream, text,
         parts + split_parts * count, inexact, count, embedding, stride);
  return sides;
}

}  // namespace eva::cuda
