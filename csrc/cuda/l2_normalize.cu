#include "cuda/device/launch.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/elements.cuh"
#include "cuda/kernel.h"
#include "ops/l2_normalize.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int max_threads = 256, scratch_bytes = max_threads / warp_size * int(sizeof(float));
/// Half the threads of an SM, 64 registers each. Where none is stated, ptxas spills around the division's
/// slow path.
constexpr int blocks_per_multiprocessor = 4;

// y and norms may be null. One block per row.
// Expected bound: HBM bandwidth; reads x (the second time from L1 or L2), writes y.
template <int Width, class T>
__global__ void __launch_bounds__(max_threads, blocks_per_multiprocessor)
    l2_normalize_kernel(const T* x, T* y, float* norms, int64_t rows, int64_t columns, float epsilon) {
  for (int64_t row = block_index(); row < rows; row += grid_blocks()) {
    const int64_t first = row * columns;
    float square = 0;
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float values[Width];
      load_elements(x + first + i, values);
      for (float value : values) square += value * value;
    });
    const float norm = fmaxf(sqrtf(block_sum(square, shared_at<float>(0))), epsilon);
    if (norms && thread_index() == 0) norms[row] = norm;
    if (!y) continue;
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float values[Width];
      load_elements(x + first + i, values);
      for (float& value : values) value /= norm;
      store_elements(y + first + i, values);
    });
  }
}

// dx = (dy - y (dy · y)) / norm. One block per row.
// Expected bound: HBM bandwidth; reads dy and y (the second time from L1 or L2), writes dx.
template <int Width, class T>
__global__ void __launch_bounds__(max_threads, blocks_per_multiprocessor)
    l2_normalize_backward_kernel(const T* dy, const T* y, const float* norms, T* dx, int64_t rows,
                                 int64_t columns) {
  for (int64_t row = block_index(); row < rows; row += grid_blocks()) {
    const int64_t first = row * columns;
    float projection = 0;
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float gradients[Width], values[Width];
      load_elements(dy + first + i, gradients);
      load_elements(y + first + i, values);
      for (int j = 0; j < Width; ++j) projection += gradients[j] * values[j];
    });
    projection = block_sum(projection, shared_at<float>(0));
    const float norm = norms[row];
    for_groups_of_row<Width>(columns, [&](int64_t i) {
      float gradients[Width], values[Width];
      load_elements(dy + first + i, gradients);
      load_elements(y + first + i, values);
      for (int j = 0; j < Width; ++j) gradients[j] = (gradients[j] - values[j] * projection) / norm;
      store_elements(dx + first + i, gradients);
    });
  }
}

}  // namespace

template <> void run<ops::l2_normalize>(const ops::l2_normalize::args& a, context& c) {
  const int64_t rows = a.x.rows(), columns = a.x.columns();
  for_element_type(a.x.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(a.x, a.y), [&]<int Width>(width<Width>) {
      launch(l2_normalize_kernel<Width, T>, blocks_of(rows, 1), threads_of_row(columns), scratch_bytes,
             c.stream, a.x.as<T>(), a.y.as<T>(), a.norm.as<float>(), rows, columns, a.eps);
    });
  });
}

template <> void run<ops::l2_normalize_backward>(const ops::l2_normalize_backward::args& a, context& c) {
  const int64_t rows = a.dy.rows(), columns = a.dy.columns();
  for_element_type(a.dy.type, [&]<class T>(T*) {
    for_width(columns % group == 0 && aligned(a.dy, a.y, a.dx), [&]<int Width>(width<Width>) {
      launch(l2_normalize_backward_kernel<Width, T>, blocks_of(rows, 1), threads_of_row(columns),
             scratch_bytes, c.stream, a.dy.as<T>(), a.y.as<T>(), a.norm.as<float>(), a.dx.as<T>(), rows,
             columns);
    });
  });
}

}  // namespace eva::cuda
