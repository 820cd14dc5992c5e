#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/device/memory.h"

// The part of cuBLASLt's C API that is used, declared here so that the build needs none of its headers.
// Values and layouts are those of cublasLt.h (cuBLAS 12 and 13; cuBLAS Library documentation, "Using the
// cuBLASLt API").
namespace eva::cuda::cublaslt {

using handle = struct opaque_handle*;
using matmul_descriptor = struct opaque_matmul_descriptor*;
using layout_descriptor = struct opaque_layout_descriptor*;
using preference = struct opaque_preference*;

enum status : int { success = 0, allocation_failed = 3, not_supported = 15 };
enum compute_type : int { compute_f32 = 68 };  // f32 operands are not rounded to TF32
enum data_type : int { data_f32 = 0, data_bf16 = 14 };
enum operation : int32_t { as_stored = 0, transpose = 1 };
enum epilogue : int32_t { no_epilogue = 1, add_bias = 4 };
enum reduction_scheme : uint32_t { reduce_in_compute_type = 2 };

enum matmul_attribute : int { transpose_a = 3, transpose_b = 4, with_epilogue = 7, bias_pointer = 8 };
enum layout_attribute : int { batch_count = 5, batch_stride = 6 };
enum preference_attribute : int {
  workspace_limit = 1,
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

/// The functions of the opened library.
struct functions {
  status (*cublasLtCreate)(handle*);
  status (*cublasLtDestroy)(handle);
  size_t (*cublasLtGetVersion)();
  const char* (*cublasLtGetStatusString)(status);
  status (*cublasLtMatmulDescCreate)(matmul_descriptor*, compute_type, data_type scale);
  status (*cublasLtMatmulDescDestroy)(matmul_descriptor);
  status (*cublasLtMatmulDescSetAttribute)(matmul_descriptor, matmul_attribute, const void*, size_t);
  status (*cublasLtMatrixLayoutCreate)(layout_descriptor*, data_type, uint64_t rows, uint64_t columns,
                                       int64_t column_stride);
  status (*cublasLtMatrixLayoutDestroy)(layout_descriptor);
  status (*cublasLtMatrixLayoutSetAttribute)(layout_descriptor, layout_attribute, const void*, size_t);
  status (*cublasLtMatmulPreferenceCreate)(preference*);
  status (*cublasLtMatmulPreferenceDestroy)(preference);
  status (*cublasLtMatmulPreferenceSetAttribute)(preference, preference_attribute, const void*, size_t);
  status (*cublasLtMatmulAlgoGetHeuristic)(handle, matmul_descriptor, layout_descriptor a,
                                           layout_descriptor b, layout_descriptor c, layout_descriptor d,
                                           preference, int wanted, heuristic_result*, int* found);
  status (*cublasLtMatmulAlgoCheck)(handle, matmul_descriptor, layout_descriptor a, layout_descriptor b,
                                    layout_descriptor c, layout_descriptor d, const algorithm*,
                                    heuristic_result*);
  status (*cublasLtMatmul)(handle, matmul_descriptor, const void* alpha, const void* a, layout_descriptor,
                           const void* b, layout_descriptor, const void* beta, const void* c,
                           layout_descriptor, void* d, layout_descriptor, const algorithm*, void* workspace,
                           size_t workspace_bytes, device::stream);
};

/// cuBLASLt, opened in this process.
struct library {
  functions call;
  std::string path;
};

/// Opens cuBLASLt from EVA_CLIP_CUBLASLT (the library, its folder, or a Python site-packages folder) or, if
/// that is not set, from the system's library path. Throws device_error with the paths that were tried.
library open();

}  // namespace eva::cuda::cublaslt
