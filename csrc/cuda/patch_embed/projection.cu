#include "cuda/device/exact.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/patch_embed.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int block_mn = 64;  // BLOCK_M = BLOCK_N: a block's tile of y
constexpr int block_k = 16;   // BLOCK_K: columns of x and weight in shared memory
constexpr int thread_mn = 4;  // a thread's tile of y is 4 × 4
constexpr int thread_rows = block_mn / thread_mn, threads = thread_rows * thread_rows;
constexpr int pitch = block_mn + 1;  // odd, so that the rows that a warp stores are in different banks
constexpr int shared_bytes = 2 * block_k * pitch * int(sizeof(float));

/// A compensated dot product, as accurate as in twice the working precision: the rounding errors of products
/// and sums are accumulated in `compensation` (Ogita, Rump and Oishi 2005, algorithm Dot2).
struct compensated_dot {
  float sum = 0, compensation = 0;

  __device__ void add(float a, float b) {
    const float product = rounded_product(a, b);
    float error;
    sum = exact_sum(sum, product, error);
    compensation += error + product_error(a, b, product);
  }
  __device__ float value() const { return sum + compensation; }
};

// Loads rows first … first + block_mn - 1 and columns k … k + block_k - 1 of a [rows, inner], transposed,
// with zeros outside.
__device__ inline void load_panel(shared_array<float> panel, const float* a, int64_t first, int64_t rows,
                                  int64_t k, int64_t inner) {
  for (int i = thread_index(); i < block_mn * block_k; i += threads) {
    const int row = i / block_k, column = i % block_k;
    const bool inside = first + row < rows && k + column < inner;
    panel.store(column * pitch + row, inside ? a[(first + row) * inner + k + column] : 0.0f);
  }
}

// y [rows, columns] = x [rows, inner] weightᵀ + bias. Thread (i, j) computes rows i, i + thread_rows, … and
// columns j, j + thread_rows, … of its block's tile.
// Expected bound: FP32 instructions of the compensated dot products.
__global__ void __launch_bounds__(threads)
    patch_projection_kernel(const float* x, const float* weight, const float* bias, float* y, int64_t rows,
                            int64_t columns, int64_t inner) {
  const auto x_panel = shared_at<float>(0), weight_panel = shared_at<float>(shared_bytes / 2);
  const int64_t column_tiles = (columns + block_mn - 1) / block_mn;
  const int64_t first_row = block_index() / column_tiles * block_mn,
                first_column = block_index() % column_tiles * block_mn;
  const int i = thread_index() / thread_rows, j = thread_index() % thread_rows;
  compensated_dot dots[thread_mn][thread_mn];
  for (int64_t k = 0; k < inner; k += block_k) {
    load_panel(x_panel, x, first_row, rows, k, inner);
    load_panel(weight_panel, weight, first_column, columns, k, inner);
    block_barrier();
#pragma unroll 2
    for (int step = 0; step < block_k; ++step) {
      float left[thread_mn], right[thread_mn];
      for (int r = 0; r < thread_mn; ++r) {
        left[r] = x_panel.load(step * pitch + i + r * thread_rows);
        right[r] = weight_panel.load(step * pitch + j + r * thread_rows);
      }
      for (int r = 0; r < thread_mn; ++r)
        for (int s = 0; s < thread_mn; ++s) dots[r][s].add(left[r], right[s]);
    }
    block_barrier();
  }
#pragma unroll
  for (int r = 0; r < thread_mn; ++r)
#pragma unroll
    for (int s = 0; s < thread_mn; ++s) {
      const int64_t row = first_row + i + r * thread_rows, column = first_column + j + s * thread_rows;
      if (row < rows && column < columns)
        y[row * columns + column] = dots[r][s].value() + (bias ? bias[column] : 0.0f);
    }
}

}  // namespace

template <> void run<ops::patch_projection>(const ops::patch_projection::args& a, context& c) {
  const int64_t rows = a.y.rows(), columns = a.y.columns();
  const int64_t tiles = ((rows + block_mn - 1) / block_mn) * ((columns + block_mn - 1) / block_mn);
  launch(patch_projection_kernel, int(tiles), threads, shared_bytes, c.stream, a.x.as<float>(),
         a.weight.as<float>(), a.bias.present() ? a.bias.as<float>() : nullptr, a.y.as<float>(), rows,
         columns, a.x.columns());
}

}  // namespace eva::cuda
