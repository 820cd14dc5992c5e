#pragma once
// How the stand-in chooses algorithms, and what they need of their operands.

#include <optional>

#include "../stream.h"
#include "cublas_lt.h"
#include "product.h"

namespace eva::cublaslt_stand_in {

/// A matmul descriptor.
struct description {
  bool transpose_a = false, transpose_b = false, has_bias = false;
  const void* bias = nullptr;
  std::optional<element> bias_type{};
};

struct preferences {
  uint64_t workspace_bytes = 0;
  uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignments[4] = {256, 256, 256, 256};  // of A, B, C, D
};

/// What an algorithm's 64 bytes hold.
struct algorithm {
  uint64_t magic, product, workspace_bytes;
  uint32_t alignments[5];  // of A, B, C, D and the bias
  uint32_t sums_in_order;
};
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t));
/// One with a workspace, and one without; the first sums in any order if that is allowed.
algorithm choose(const product& p, const description& how, const preferences& within, int number);

/// Throws a refusal if it is not one that was chosen for this product.
algorithm algorithm_for(const product& p, const cublasLtMatmulAlgo_t* given);

/// Throws a refusal for operands that are misaligned, overlap, or are not all in device memory.
void check_operands(const emulator::stream& on, const product& p, const operands& all, const algorithm& with);
void check_operand(const emulator::stream& on, const void* data, int64_t bytes, uint32_t alignment,
                   const char* name);

}  // namespace eva::cublaslt_stand_in
