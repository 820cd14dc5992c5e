#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/device/memory.cuh"

// The part of cuBLASLt's C interface that we use, so that building needs none of its headers: the names,
// values and layouts are those of cublasLt.h (cuBLAS 12 and 13, cuBLAS Library documentation, "Using the
// cuBLASLt API").
namespace eva::cuda::cublaslt {

using handle = struct opaque_handle*;
using product_description = struct opaque_product_description*;
using matrix_description = struct opaque_matrix_description*;
using preference = struct opaque_preference*;

enum status : int { success = 0, allocation_failed = 3, not_supported = 15 };
enum compute_type : int { compute_f32 = 68 };  // products of f32 stay f32: no TF32
enum data_type : int { data_f32 = 0, data_bf16 = 14 };
enum operation : int32_t { as_stored = 0, transpose = 1 };
enum epilogue : int32_t { no_epilogue = 1, add_bias = 4 };
enum reduction_scheme : uint32_t { reduce_in_compute_type = 2 };

enum product_attribute : int { transpose_a = 3, transpose_b = 4, with_epilogue = 7, bias_pointer = 8 };
enum matrix_attribute : int { batch_count = 5, batch_stride = 6 };
enum preference_attribute : int {
  most_workspace_bytes = 1,
  reduction_scheme_mask = 3,
  alignment_a = 5,
  alignment_b = 6,
  alignment_c = 7,
  alignment_d = 8
};

struct algorithm {
  uint64_t data[8];
};

struct heuristic_result {
  algorithm chosen;
  size_t workspace_bytes;
  status state;
  float waves;
  int reserved[4];
};

/// The library's functions, once it has been opened.
struct functions {
  status (*cublasLtCreate)(handle*);
  status (*cublasLtDestroy)(handle);
  size_t (*cublasLtGetVersion)();
  const char* (*cublasLtGetStatusString)(status);
  status (*cublasLtMatmulDescCreate)(product_description*, compute_type, data_type scale);
  status (*cublasLtMatmulDescDestroy)(product_description);
  status (*cublasLtMatmulDescSetAttribute)(product_description, product_attribute, const void*, size_t);
  status (*cublasLtMatrixLayoutCreate)(matrix_description*, data_type, uint64_t rows, uint64_t columns,
                                       int64_t column_stride);
  status (*cublasLtMatrixLayoutDestroy)(matrix_description);
  status (*cublasLtMatrixLayoutSetAttribute)(matrix_description, matrix_attribute, const void*, size_t);
  status (*cublasLtMatmulPreferenceCreate)(preference*);
  status (*cublasLtMatmulPreferenceDestroy)(preference);
  status (*cublasLtMatmulPreferenceSetAttribute)(preference, preference_attribute, const void*, size_t);
  status (*cublasLtMatmulAlgoGetHeuristic)(handle, product_description, matrix_description a,
                                           matrix_description b, matrix_description c, matrix_description d,
                                           preference, int wanted, heuristic_result*, int* found);
  status (*cublasLtMatmul)(handle, product_description, const void* alpha, const void* a, matrix_description,
                           const void* b, matrix_description, const void* beta, const void* c,
                           matrix_description, void* d, matrix_description, const algorithm*, void* workspace,
                           size_t workspace_bytes, device::stream);
};

/// cuBLASLt in this process.
struct library {
  functions call;
  std::string path;
};

/// Opens cuBLASLt: what EVA_CLIP_CUBLASLT names (the library, its folder, or a Python site-packages folder),
/// or else the one that the system finds. Throws device_error with what was tried.
library open();

}  // namespace eva::cuda::cublaslt
