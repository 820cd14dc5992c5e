// A stand-in for libcublasLt.so on the emulated device. It refuses what the real library refuses, or what
// would be undefined there, and multiplies in loops when the stream gets there. A result's algorithm holds
// the product it was chosen for, so that using it for another one is an error.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "algorithm.h"
#include "cublas_lt.h"

using namespace eva::cublaslt_stand_in;
using eva::emulator::stream;

struct cublasLtContext {
  bool is_open = true;
};

namespace {

thread_local std::string last_reason;

/// The status of a call; the reason of a refusal is part of the status's description.
template <class Body> cublasStatus_t call(const Body& body) {
  try {
    body();
    return CUBLAS_STATUS_SUCCESS;
  } catch (const refusal& e) {
    last_reason = e.reason;
    return cublasStatus_t(e.status);
  }
}

template <class T> T read(const void* from, size_t bytes) {
  require(from && bytes == sizeof(T), "an attribute has the wrong size");
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

element type_of(int type) {
  require(type == CUDA_R_32F || type == CUDA_R_16BF, "a type is neither f32 nor bf16",
          CUBLAS_STATUS_NOT_SUPPORTED);
  return type == CUDA_R_32F ? element::f32 : element::bf16;
}

bool is_transposed(int32_t operation) {
  require(operation == CUBLAS_OP_N || operation == CUBLAS_OP_T, "an operation is neither N nor T");
  return operation == CUBLAS_OP_T;
}

template <class T, class Handle> T& at(Handle handle) {
  require(handle != nullptr, "a descriptor is null");
  return *reinterpret_cast<T*>(handle);
}

void check_handle(cublasLtHandle_t handle) {
  require(handle && handle->is_open, "the handle is not open", CUBLAS_STATUS_NOT_INITIALIZED);
}

product product_of(cublasLtMatmulDesc_t what, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                   cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  const auto& how = at<description>(what);
  product p{at<matrix>(a),   at<matrix>(b),   at<matrix>(c), at<matrix>(d),
            how.transpose_a, how.transpose_b, how.has_bias};
  p.bias_type = how.bias_type.value_or(p.d.type);
  p.check();
  return p;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* made) {
  *made = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return call([&] {
    check_handle(handle);
    delete handle;
  });
}
size_t cublasLtGetVersion() { return 120800; }

const char* cublasLtGetStatusString(cublasStatus_t status) {
  static thread_local std::string text;
  text = (status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED ("
                                                : "CUBLAS_STATUS_INVALID_VALUE (") +
         last_reason + ")";
  return text.c_str();
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return call([&] {
    require(compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F, "the arithmetic is not f32",
            CUBLAS_STATUS_NOT_SUPPORTED);
    *made = reinterpret_cast<cublasLtMatmulDesc_t>(new description);
  });
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t what) {
  delete reinterpret_cast<description*>(what);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t what, cublasLtMatmulDescAttributes_t which,
                                              const void* value, size_t bytes) {
  return call([&] {
    auto& how = at<description>(what);
    switch (which) {
      case CUBLASLT_MATMUL_DESC_TRANSA:
        how.transpose_a = is_transposed(read<int32_t>(value, bytes));
        return;
      case CUBLASLT_MATMUL_DESC_TRANSB:
        how.transpose_b = is_transposed(read<int32_t>(value, bytes));
        return;
      case CUBLASLT_MATMUL_DESC_EPILOGUE: {
        const auto epilogue = read<uint32_t>(value, bytes);
        require(epilogue == CUBLASLT_EPILOGUE_DEFAULT || epilogue == CUBLASLT_EPILOGUE_BIAS,
                "an unknown epilogue", CUBLAS_STATUS_NOT_SUPPORTED);
        how.has_bias = epilogue == CUBLASLT_EPILOGUE_BIAS;
        return;
      }
      case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        how.bias = read<const void*>(value, bytes);
        return;
      case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        how.bias_type = type_of(read<int32_t>(value, bytes));
        return;
      default:
        require(false, "an unknown attribute of a product");
    }
  });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
  return call([&] {
    *made = reinterpret_cast<cublasLtMatrixLayout_t>(
        new matrix{type_of(type), int64_t(rows), int64_t(columns), stride});
  });
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete reinterpret_cast<matrix*>(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t which, const void* value,
                                                size_t bytes) {
  return call([&] {
    auto& m = at<matrix>(layout);
    if (which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT)
      m.batch = read<int32_t>(value, bytes);
    else if (which == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)
      m.batch_stride = read<int64_t>(value, bytes);
    else
      require(false, "an unknown attribute of a layout");
  });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  *made = reinterpret_cast<cublasLtMatmulPreference_t>(new preferences);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete reinterpret_cast<preferences*>(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void* value, size_t bytes) {
  return call([&] {
    auto& within = at<preferences>(preference);
    switch (which) {
      case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        within.workspace_bytes = read<uint64_t>(value, bytes);
        return;
      case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        within.reduction_schemes = read<uint32_t>(value, bytes);
        return;
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: {
        const auto alignment = read<uint32_t>(value, bytes);
        require(alignment > 0 && (alignment & (alignment - 1)) == 0, "an alignment is not a power of two");
        within.alignments[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES] = alignment;
        return;
      }
      default:
        require(false, "an unknown preference");
    }
  });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t what,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  return call([&] {
    check_handle(handle);
    require(wanted > 0, "no algorithm is wanted");
    const product p = product_of(what, a, b, c, d);
    *found = std::min(wanted, 2);
    for (int i = 0; i < *found; ++i) {
      const algorithm chosen = choose(p, at<description>(what), at<preferences>(preference), i);
      results[i] = {};
      std::memcpy(&results[i].algo, &chosen, sizeof chosen);
      results[i].workspaceSize = chosen.workspace_bytes;
      results[i].wavesCount = 1;
    }
  });
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t what,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algo,
                                       cublasLtMatmulHeuristicResult_t* result) {
  return call([&] {
    check_handle(handle);
    const algorithm given = algorithm_for(product_of(what, a, b, c, d), algo);
    *result = {};
    result->algo = *algo;
    result->workspaceSize = given.workspace_bytes;
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t what, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, size_t workspace_bytes,
                              cudaStream_t on) {
  static std::atomic<int64_t> calls = 0;
  return call([&] {
    check_handle(handle);
    require(alpha && beta, "alpha or beta is null");
    require(on != nullptr, "the default stream");
    const product p = product_of(what, a_layout, b_layout, c_layout, d_layout);
    const algorithm with = algorithm_for(p, algo);
    const operands all{*static_cast<const float*>(alpha),
                       *static_cast<const float*>(beta),
                       a,
                       b,
                       c,
                       at<description>(what).bias,
                       d};
    auto& queue = *reinterpret_cast<stream*>(on);
    check_operands(queue, p, all, with);
    require(workspace_bytes >= with.workspace_bytes, "the workspace is too small");
    if (with.workspace_bytes > 0)
      check_operand(queue, workspace, int64_t(with.workspace_bytes), 256, "the workspace");
    const int64_t first = with.sums_in_order ? 0 : calls++ % p.inner();
    queue.submit([=, &queue] {
      std::memset(workspace, 0xff, with.workspace_bytes);  // as its split sums do
      multiply(p, all, first);
      const int64_t size = bytes_of(p.d.type);
      for (int64_t n = 0; n < p.d.batch; ++n)
        for (int64_t j = 0; j < p.d.columns; ++j)
          queue.wrote(static_cast<std::byte*>(d) + (n * p.d.batch_stride + j * p.d.stride) * size,
                      size_t(p.d.rows * size));
    });
  });
}

}  // extern "C"
