#pragma once

#include <memory>
#include <string>

#include "runtime/backend.h"

namespace eva {

/// Interface of a backend in a shared library of its own, which exports two C symbols:
///
///   extern "C" const eva::backend_interface eva_clip_backend_interface;
///   extern "C" eva::backend* eva_clip_open_backend(int index);
///
/// The first is plain data, compared with the caller's before anything is called. If they are equal, both
/// sides were built from the same sources, and the second may return a C++ object and throw C++ exceptions as
/// within one library. The library is never unloaded, because errors refer to its strings.
struct backend_interface {
  uint64_t version = 7;     // of backend.h; incremented by hand
  uint64_t ops = 0;         // ops::fingerprint
  uint64_t string_abi = 0;  // of the C++ standard library

  bool operator==(const backend_interface&) const = default;
};

constexpr backend_interface backend_interface_of(uint64_t ops_fingerprint) {
#ifdef _GLIBCXX_USE_CXX11_ABI
  return {.ops = ops_fingerprint, .string_abi = 1 + _GLIBCXX_USE_CXX11_ABI};
#else
  return {.ops = ops_fingerprint};
#endif
}

/// Opens a device of the backend library at `path`. Throws device_error if the library cannot be loaded or
/// was built from different sources, and whatever the library throws if there is no device.
std::shared_ptr<backend> open_backend_library(const std::string& path, const backend_interface& expected,
                                              int index);

}  // namespace eva
