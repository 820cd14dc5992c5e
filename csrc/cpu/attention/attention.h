#pragma once

#include "cpu/context.h"
#include "ops/attention.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Attention and its gradient in bf16, by pair_gemm. Its operands are rounded to bf16: rotated queries and
/// keys, probabilities and their gradients, as on a GPU.
void attend_pairs(const ops::attention::args& a, context& c);
void differentiate_pairs(const ops::attention_backward::args& a, context& c);

}  // namespace eva::cpu::EVA_CLIP_ISA
