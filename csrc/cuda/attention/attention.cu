#include "cuda/attention/attention.h"
#include "cuda/attention/head.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/kernel.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int clear_threads = 256;

/// Zeros the rows of a packed batch that belong to no sequence: those from starts[sequences] on.
__global__ void attention_padding_kernel(const int* starts, int sequences, int64_t rows, int64_t row_bytes,
                                         unsigned char* memory) {
  const int64_t used = max(starts[sequences], 0);
  const int64_t stride = int64_t(grid_blocks()) * block_threads();
  for (int64_t i = used * row_bytes + int64_t(block_index()) * block_threads() + thread_index();
       i < rows * row_bytes; i += stride)
    memory[i] = 0;
}

void clear_padding(const tensor& cu_seqlens, const tensor& t, context& c) {
  if (!cu_seqlens.present() || t.data == nullptr) return;
  launch(attention_padding_kernel, c.properties.multiprocessors, clear_threads, 0, c.stream,
         cu_seqlens.as<const int>(), int(cu_seqlens.size()) - 1, t.rows(), t.columns() * size_of(t.type),
         t.as<unsigned char>());
}

}  // namespace

template <> void run<ops::attention>(const ops::attention::args& a, context& c) {
  if (a.qkv.size() == 0 || (a.out.data == nullptr && a.log_sum.data == nullptr)) return;
  if (!suits_tensor_cores(a))
    attend_plain(a, c);
  else if (!attend_resident(a, c))
    attend_streaming(a, c);
  clear_padding(a.cu_seqlens, a.out, c);
  clear_padding(a.cu_seqlens, a.log_sum, c);
}

template <> void run<ops::attention_backward>(const ops::attention_backward::args& a, context& c) {
  if (a.qkv.size() == 0 || a.dqkv.data == nullptr) return;
  if (!suits_tensor_cores(a)) {
    differentiate_plain(a, c);
  } else {
    const bool resident = differentiate_resident(a, c);
    if (!resident || a.cu_seqlens.present())
      differentiate_streaming(a, resident ? longest_resident + 1 : 0, c);
  }
  clear_padding(a.cu_seqlens, a.dqkv, c);
}

}  // namespace eva::cuda
