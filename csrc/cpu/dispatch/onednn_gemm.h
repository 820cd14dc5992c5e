#pragma once

#include <memory>

#include "cpu/gemm/gemm_spec.h"

namespace eva::cpu {

/// A oneDNN matmul primitive. The only user of oneDNN. Computes in f32 if the library or the processor has no
/// bf16; cannot store `pre`.
std::unique_ptr<prepared_gemm> onednn_gemm(const gemm_spec& spec);

}  // namespace eva::cpu
