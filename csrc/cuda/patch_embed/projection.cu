#include "cuda/device/exact.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/patch_embed.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int side = 64;   // of a block's square of y
constexpr int depth = 16;  // columns of x and of the weight in shared memory
constexpr int patch = 4;   // side of a thread's square of y
constexpr int across = side / patch, threads = across * across;
constexpr int stride = side + 1;  // keeps the rows that a warp stores in different banks
constexpr int shared_bytes = 2 * depth * stride * int(sizeof(float));

/// A dot product in twice the working precision: each product and each sum leaves its rounding in `rest`
/// (Ogita, Rump and Oishi 2005, algorithm Dot2).
struct exact_dot {
  float sum = 0, rest = 0;

  __device__ void add(float a, float b) {
    const float product = rounded_product(a, b);
    float error;
    sum = exact_sum(sum, product, error);
    rest += error + product_error(a, b, product);
  }
  __device__ float value() const { return sum + rest; }
};

// Rows first … first + side - 1 and columns k … k + depth - 1 of a [rows, inner], transposed; zero outside.
__device__ inline void load_panel(shared_array<float> panel, const float* a, int64_t first, int64_t rows,
                                  int64_t k, int64_t inner) {
  for (int i = thread_index(); i < side * depth; i += threads) {
    const int row = i / depth, column = i % depth;
    const bool inside = first + row < rows && k + column < inner;
    panel.store(column * stride + row, inside ? a[(first + row) * inner + k + column] : 0.0f);
  }
}

// y [rows, columns] = x [rows, inner] weightᵀ + bias; thread (i, j) has rows i, i + across, … of its square.
__global__ void __launch_bounds__(threads)
    patch_projection_kernel(const float* x, const float* weight, const float* bias, float* y, int64_t rows,
                            int64_t columns, int64_t inner) {
  const auto x_panel = shared_at<float>(0), weight_panel = shared_at<float>(shared_bytes / 2);
  const int64_t parts = (columns + side - 1) / side;
  const int64_t first_row = block_index() / parts * side, first_column = block_index() % parts * side;
  const int i = thread_index() / across, j = thread_index() % across;
  exact_dot dots[patch][patch];
  for (int64_t k = 0; k < inner; k += depth) {
    load_panel(x_panel, x, first_row, rows, k, inner);
    load_panel(weight_panel, weight, first_column, columns, k, inner);
    block_barrier();
#pragma unroll 2
    for (int step = 0; step < depth; ++step) {
      float left[patch], right[patch];
      for (int r = 0; r < patch; ++r) {
        left[r] = x_panel.load(step * stride + i + r * across);
        right[r] = weight_panel.load(step * stride + j + r * across);
      }
      for (int r = 0; r < patch; ++r)
        for (int s = 0; s < patch; ++s) dots[r][s].add(left[r], right[s]);
    }
    block_barrier();
  }
#pragma unroll
  for (int r = 0; r < patch; ++r)
#pragma unroll
    for (int s = 0; s < patch; ++s) {
      const int64_t row = first_row + i + r * across, column = first_column + j + s * across;
      if (row < rows && column < columns)
        y[row * columns + column] = dots[r][s].value() + (bias ? bias[column] : 0.0f);
    }
}

}  // namespace

template <> void run<ops::patch_projection>(const ops::patch_projection::args& a, context& c) {
  const int64_t rows = a.y.rows(), columns = a.y.columns();
  const int64_t squares = ((rows + side - 1) / side) * ((columns + side - 1) / side);
  launch(patch_projection_kernel, int(squares), threads, shared_bytes, c.stream, a.x.as<float>(),
         a.weight.as<float>(), a.bias.present() ? a.bias.as<float>() : nullptr, a.y.as<float>(), rows,
         columns, a.x.columns());
}

}  // namespace eva::cuda
