#pragma once

#include "cuda/context.h"
#include "ops/attention.h"

// The kernels that attention and its gradient choose from, each in its own file.
namespace eva::cuda {

/// Whether the tensor-core kernels can take a problem: bf16 rows of whole 16-byte chunks.
template <class Args> bool suits_tensor_cores(const Args& a) {
  const int64_t head_dim = a.qkv.columns() / (3 * a.heads);
  return a.qkv.type == dtype::bf16 && head_dim % 8 == 0 && head_dim <= 128;
}

/// A whole head in shared memory and a row of scores in registers: dense batches of up to 272 tokens. False,
/// with nothing done, when the problem does not fit this device.
bool attend_resident(const ops::attention::args&, context&);
/// Keys and values pass through in blocks (Dao et al. 2022, algorithm 1): any length, dense or packed.
void attend_streaming(const ops::attention::args&, context&);
/// Any type and head dimension up to 256, without tensor cores.
void attend_plain(const ops::attention::args&, context&);

/// One kernel, everything in shared memory. False when the problem does not fit this device. Of a packed
/// batch it takes the sequences of up to `longest_resident` tokens.
inline constexpr int longest_resident = 80;
bool differentiate_resident(const ops::attention_backward::args&, context&);
/// Two kernels, for dq and for dk and dv, that each compute the scores again: any length. Skips sequences of
/// fewer than `shortest` tokens.
void differentiate_streaming(const ops::attention_backward::args&, int shortest, context&);
void differentiate_plain(const ops::attention_backward::args&, context&);

}  // namespace eva::cuda
