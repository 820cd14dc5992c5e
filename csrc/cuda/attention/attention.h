#pragma once

#include "cuda/context.h"
#include "ops/attention.h"

// The kernels that attention and its gradient choose between, one per file.
namespace eva::cuda {

struct attention_batch;
struct gradient_arguments;

/// Whether the tensor-core kernels support a problem: bf16, rows a multiple of 16 bytes.
template <class Args> bool can_use_tensor_cores(const Args& a) {
  const int64_t head_dim = a.qkv.columns() / (3 * a.heads);
  return a.qkv.type == dtype::bf16 && head_dim % 8 == 0 && head_dim <= 128;
}

/// A whole head in shared memory and whole rows of scores in registers: dense batches of up to 304 tokens.
/// Returns false, having launched nothing, when the problem does not fit this device.
bool attention_forward_resident(const ops::attention::args&, context&);
/// Online softmax over tiles of keys and values (Dao et al. 2022, algorithm 1): any length, dense or packed.
void attention_forward_streaming(const ops::attention::args&, context&);
/// Without tensor cores: any type, head dimensions up to 256.
void attention_forward_plain(const ops::attention::args&, context&);

/// One kernel with a whole head in shared memory. Returns false when the problem does not fit this device. In
/// a packed batch it handles only sequences of up to `longest_resident` tokens. Each sequence has one row of
/// partial column sums.
inline constexpr int longest_resident = 80;
bool attention_backward_resident(const gradient_arguments&, context&);
/// Two kernels, one for dq and one for dk and dv, each of which recomputes the scores: any length. Skips
/// sequences of fewer than `shortest` tokens. delta: scratch [rows, H]. Each sequence has
/// streaming_backward_splits rows of partial column sums.
void attention_backward_streaming(const gradient_arguments&, float* delta, int shortest, context&);
int streaming_backward_splits(const attention_batch&);
void attention_backward_plain(const ops::attention_backward::args&, context&);

}  // namespace eva::cuda
