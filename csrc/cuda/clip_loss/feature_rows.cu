#include "cuda/clip_loss/feature_rows.h"
#include "cuda/device/launch.cuh"
#include "cuda/elements.cuh"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;
constexpr int64_t alignment = 128;  // elements

// Splits x [batch, columns] into `parts` bf16 parts whose sum it is, each padded to `stride` columns.
// Expected bound: HBM bandwidth; reads x once, writes the parts once.
template <class T>
__global__ void __launch_bounds__(threads)
    clip_loss_split_kernel(const T* x, int parts, int64_t columns, feature_rows to) {
  for_groups<1>(to.batch * to.stride, [&](int64_t i, width<1>) {
    const int64_t row = i / to.stride, column = i % to.stride;
    float residual = column < columns ? to_float(x[row * columns + column]) : 0.0f;
    for (int p = 0; p < parts; ++p) {
      const bf16 part = to_bf16(residual);
      residual -= to_float(part);
      to.part(p)[i] = part;
    }
  });
}

int64_t round_up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

int64_t stride_of(const tensor& x) { return round_up(std::max<int64_t>(1, x.dim(1)), score_block_k); }
int64_t part_stride_of(const tensor& x) { return round_up(x.dim(0) * stride_of(x), alignment); }
int64_t copied_elements(const tensor& x) { return parts_of(x.type) * part_stride_of(x); }

/// Whether rows are bf16 and a multiple of 16 bytes.
bool has_whole_groups(const tensor& x) {
  return x.type == dtype::bf16 && x.dim(1) > 0 && x.dim(1) % group == 0;
}

feature_rows rows_of(const tensor& x, bf16* memory) {
  if (has_whole_groups(x) && aligned(x)) return {x.as<bf16>(), x.dim(0), x.dim(1), 0};
  return {memory, x.dim(0), stride_of(x), part_stride_of(x)};
}

void copy(const tensor& x, const feature_rows& to, const context& c) {
  if (to.parts == x.data) return;
  for_element_type(x.type, [&]<class T>(T*) {
    launch(clip_loss_split_kernel<T>, blocks_of(to.batch * to.stride, threads), threads, 0, c.stream,
           x.as<const T>(), parts_of(x.type), x.dim(1), to);
  });
}

}  // namespace

int64_t score_sides::bytes(const tensor& image) { return 2 * copied_elements(image) * int64_t(sizeof(bf16)); }

score_sides score_sides::of(const tensor& image, const tensor& text, std::byte* memory) {
  auto* const first = reinterpret_cast<bf16*>(memory);
  return {rows_of(image, first), rows_of(text, first + copied_elements(image))};
}

void copy_features(const tensor& image, const tensor& text, const score_sides& to, const context& c) {
  copy(image, to.image, c);
  copy(text, to.text, c);
}

}  // namespace eva::cuda
