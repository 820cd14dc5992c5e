#include "cuda/attention/attention.h"
#include "cuda/attention/gradient.cuh"
#include "cuda/column_sums.h"
#include "cuda/device/launch.cuh"
#include "cuda/index_check.cuh"
#include "cuda/kernel.h"

namespace eva::cuda {
namespace {

using namespace device;

constexpr int threads = 256;

// Index rules of attention and its gradient. Their kernels clamp these integers, so an invalid one reads
// nothing outside the tensors.
constexpr int starts_rule = 0, positions_rule = 1;

template <class Op> index_check check_of(const typename Op::args& a, const context& c) {
  const int64_t rows = a.qkv.rows(), patches = a.rope.present() ? a.rope.dim(0) * a.rope.dim(0) : 0;
  return {c, Op::name, &a, {{"cu_seqlens", rows, std::max(int64_t(1), rows)}, {"positions", patches}}};
}

__global__ void attention_positions_kernel(index_check check, const int* positions, int64_t count) {
  const int64_t stride = int64_t(grid_blocks()) * block_threads();
  for (int64_t i = int64_t(block_index()) * block_threads() + thread_index(); i < count; i += stride)
    check.holds(positions_rule, i, positions[i]);
}

template <class Op> void check_positions(const typename Op::args& a, context& c) {
  if (!a.rope.present() || !a.positions.present()) return;
  launch(attention_positions_kernel, c.properties.multiprocessors, threads, 0, c.stream, check_of<Op>(a, c),
         a.positions.template as<const int>(), a.positions.size());
}

/// Zeros the padding of a packed batch: the rows from starts[sequences] on, 16 bytes at a time where a row is
/// a multiple of them.
template <class Word>
__global__ void attention_padding_kernel(index_check check, const int* starts, int sequences, int64_t rows,
                                         int64_t row_words, Word* memory) {
  check.check_starts(starts_rule, starts, sequences + 1);
  const int64_t used = max(starts[sequences], 0);
  const int64_t stride = int64_t(grid_blocks()) * block_threads();
  for (int64_t i = used * row_words + int64_t(block_index()) * block_threads() + thread_index();
       i < rows * row_words; i += stride)
    memory[i] = Word{};
}

template <class Op> void clear_padding(const typename Op::args& a, const tensor& t, context& c) {
  if (!a.cu_seqlens.present() || t.data == nullptr) return;
  const int64_t row_bytes = t.columns() * size_of(t.type);
  const auto start = [&]<class Word>(Word* memory) {
    launch(attention_padding_kernel<Word>, c.properties.multiprocessors, threads, 0, c.stream,
           check_of<Op>(a, c), a.cu_seqlens.template as<const int>(), int(a.cu_seqlens.size()) - 1, t.rows(),
           row_bytes / int64_t(sizeof(Word)), memory);
  };
  if (row_bytes % 16 == 0)
    start(t.as<vector16>());
  else
    start(t.as<uint16_t>());
}

void backward_with_tensor_cores(const ops::attention_backward::args& a, context& c) {
  gradient_arguments p{attention_batch(a),
                       a.dout.as<const bf16>(),
                       a.qkv.as<const bf16>(),
                       a.out.as<const bf16>(),
                       a.log_sum.as<const float>(),
                       a.dqkv.as<bf16>(),
                       nullptr};
  // The partial column sums have at most this many rows.
  const int64_t splits = streaming_backward_splits(p.batch), columns = a.qkv.columns();
  const int64_t partials = a.dqkv_sums.data ? splits * p.batch.sequences : 0;
  const int64_t statistics = (int64_t(p.batch.rows) * p.batch.heads + 3) / 4 * 4;
  float* scratch = c.scratch.take<float>(statistics + partials * columns);
  if (partials > 0) p.sums = scratch + statistics;
  const bool resident = attention_backward_resident(p, c);
  if (!resident || p.batch.starts)
    attention_backward_streaming(p, scratch, resident ? longest_resident + 1 : 0, c);
  add_up_columns(p.sums, resident ? p.batch.sequences : partials, columns, a.dqkv_sums.as<float>(), c);
}

}  // namespace

template <> void run<ops::attention>(const ops::attention::args& a, context& c) {
  check_positions<ops::attention>(a, c);
  if (a.qkv.size() == 0 || (a.out.data == nullptr && a.log_sum.data == nullptr)) return;
  if (!can_use_tensor_cores(a))
    attention_forward_plain(a, c);
  else if (!attention_forward_resident(a, c))
    attention_forward_streaming(a, c);
  clear_padding<ops::attention>(a, a.out, c);
  clear_padding<ops::attention>(a, a.log_sum, c);
}

template <> void run<ops::attention_backward>(const ops::attention_backward::args& a, context& c) {
  check_positions<ops::attention_backward>(a, c);
  if (a.dqkv.data == nullptr) return;
  if (a.qkv.size() == 0)
    add_up_columns(nullptr, 0, a.qkv.columns(), a.dqkv_sums.as<float>(), c);
  else if (can_use_tensor_cores(a))
    backward_with_tensor_cores(a, c);
  else
    attention_backward_plain(a, c);
  clear_padding<ops::attention_backward>(a, a.dqkv, c);
}

}  // namespace eva::cuda
