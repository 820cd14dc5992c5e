// csrc's declarations of cuBLASLt agree with its header. Nothing here runs.

#include <cstddef>
#include <type_traits>

#include "cublas_lt.h"
#include "cuda/linear/cublaslt.h"

namespace {

using namespace eva::cuda::cublaslt;

template <auto Ours, auto Theirs> constexpr bool same = static_cast<long>(Ours) == static_cast<long>(Theirs);

static_assert(same<success, CUBLAS_STATUS_SUCCESS> && same<allocation_failed, CUBLAS_STATUS_ALLOC_FAILED> &&
              same<not_supported, CUBLAS_STATUS_NOT_SUPPORTED>);
static_assert(same<compute_f32, CUBLAS_COMPUTE_32F> && same<data_f32, CUDA_R_32F> &&
              same<data_bf16, CUDA_R_16BF>);
static_assert(same<as_stored, CUBLAS_OP_N> && same<transpose, CUBLAS_OP_T>);
static_assert(same<no_epilogue, CUBLASLT_EPILOGUE_DEFAULT> && same<add_bias, CUBLASLT_EPILOGUE_BIAS>);
static_assert(same<reduce_in_compute_type, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE>);
static_assert(same<transpose_a, CUBLASLT_MATMUL_DESC_TRANSA> &&
              same<transpose_b, CUBLASLT_MATMUL_DESC_TRANSB> &&
              same<with_epilogue, CUBLASLT_MATMUL_DESC_EPILOGUE> &&
              same<bias_pointer, CUBLASLT_MATMUL_DESC_BIAS_POINTER>);
static_assert(same<batch_count, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT> &&
              same<batch_stride, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET>);
static_assert(same<workspace_limit, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES> &&
              same<reduction_scheme_mask, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK> &&
              same<alignment_a, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES> &&
              same<alignment_b, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES> &&
              same<alignment_c, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES> &&
              same<alignment_d, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES>);

static_assert(sizeof(algorithm) == sizeof(cublasLtMatmulAlgo_t) &&
              sizeof(heuristic_result) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(heuristic_result, chosen) == offsetof(cublasLtMatmulHeuristicResult_t, algo) &&
              offsetof(heuristic_result, workspace_bytes) ==
                  offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) &&
              offsetof(heuristic_result, state) == offsetof(cublasLtMatmulHeuristicResult_t, state) &&
              offsetof(heuristic_result, waves) == offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));

/// Whether two types are passed alike.
template <class One, class Other>
constexpr bool alike = std::is_pointer_v<One> == std::is_pointer_v<Other> && sizeof(One) == sizeof(Other);

template <class Ours, class Theirs> constexpr bool same_signature = false;
template <class R, class... A, class S, class... B>
constexpr bool same_signature<R (*)(A...), S (*)(B...)> = [] {
  if constexpr (sizeof...(A) == sizeof...(B))
    return alike<R, S> && (alike<A, B> && ...);
  else
    return false;
}();

template <auto Theirs, class Ours> constexpr bool declared(Ours functions::*) {
  return same_signature<Ours, decltype(Theirs)>;
}

static_assert(declared<&::cublasLtCreate>(&functions::cublasLtCreate));
static_assert(declared<&::cublasLtDestroy>(&functions::cublasLtDestroy));
static_assert(declared<&::cublasLtGetVersion>(&functions::cublasLtGetVersion));
static_assert(declared<&::cublasLtGetStatusString>(&functions::cublasLtGetStatusString));
static_assert(declared<&::cublasLtMatmulDescCreate>(&functions::cublasLtMatmulDescCreate));
static_assert(declared<&::cublasLtMatmulDescDestroy>(&functions::cublasLtMatmulDescDestroy));
static_assert(declared<&::cublasLtMatmulDescSetAttribute>(&functions::cublasLtMatmulDescSetAttribute));
static_assert(declared<&::cublasLtMatrixLayoutCreate>(&functions::cublasLtMatrixLayoutCreate));
static_assert(declared<&::cublasLtMatrixLayoutDestroy>(&functions::cublasLtMatrixLayoutDestroy));
static_assert(declared<&::cublasLtMatrixLayoutSetAttribute>(&functions::cublasLtMatrixLayoutSetAttribute));
static_assert(declared<&::cublasLtMatmulPreferenceCreate>(&functions::cublasLtMatmulPreferenceCreate));
static_assert(declared<&::cublasLtMatmulPreferenceDestroy>(&functions::cublasLtMatmulPreferenceDestroy));
static_assert(
    declared<&::cublasLtMatmulPreferenceSetAttribute>(&functions::cublasLtMatmulPreferenceSetAttribute));
static_assert(declared<&::cublasLtMatmulAlgoGetHeuristic>(&functions::cublasLtMatmulAlgoGetHeuristic));
static_assert(declared<&::cublasLtMatmulAlgoCheck>(&functions::cublasLtMatmulAlgoCheck));
static_assert(declared<&::cublasLtMatmul>(&functions::cublasLtMatmul));

}  // namespace
