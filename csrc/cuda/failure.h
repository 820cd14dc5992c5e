#pragma once

#include "core/error.h"
#include "cuda/device/runtime.h"

namespace eva::cuda {

/// Throws a CUDA error as an eva::error. `where` names the op and its operands, or the action that failed.
[[noreturn]] inline void fail(const device::error& failure, const std::string& where) {
  const error::detail_map facts = {{"where", where}, {"driver", failure.what()}};
  const std::string in = (where.empty() ? "" : " in " + where) + ": " + failure.what();
  if (failure.out_of_memory) throw out_of_memory_error("out of GPU memory" + in, facts);
  if (failure.sticky) throw device_lost_error("the GPU failed" + in, facts);
  throw error("ERR_EVACLIP_GPU", "a CUDA call failed" + in, facts);
}

/// A failed call of the GEMM library.
struct library_error : std::runtime_error {
  library_error(const std::string& message, bool of_memory)
      : std::runtime_error(message), out_of_memory(of_memory) {}
  bool out_of_memory;
};

[[noreturn]] inline void fail(const library_error& failure, const std::string& where) {
  const error::detail_map facts = {{"where", where}};
  const std::string in = (where.empty() ? "" : " in " + where) + ": " + failure.what();
  if (failure.out_of_memory) throw out_of_memory_error("cuBLASLt ran out of memory" + in, facts);
  throw error("ERR_EVACLIP_LIBRARY", "cuBLASLt failed" + in, facts);
}

/// Calls body and translates CUDA errors to eva::error.
template <class Body> auto translated(const Body& body, const std::string& where = "") {
  try {
    return body();
  } catch (const device::error& failure) {
    fail(failure, where);
  } catch (const library_error& failure) {
    fail(failure, where);
  }
}

}  // namespace eva::cuda
