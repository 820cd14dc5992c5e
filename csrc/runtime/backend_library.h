#pragma once

#include <memory>
#include <string>

#include "runtime/backend.h"

namespace eva {

/// What a backend that is a library of its own exports, with C names:
///
///   extern "C" const eva::backend_interface eva_clip_backend_interface;
///   extern "C" eva::backend* eva_clip_open_backend();
///
/// The first is plain data, read before anything is called. Where it is the caller's own, both sides were
/// built from the same sources: then the second returns a C++ object and throws C++ exceptions, as a call
/// within one library would. The library is never unloaded, because errors hold its strings.
struct backend_interface {
  uint64_t version = 3;     // of backend.h; changed by hand
  uint64_t ops = 0;         // ops::fingerprint
  uint64_t string_abi = 0;  // of the C++ library

  bool operator==(const backend_interface&) const = default;
};

constexpr backend_interface backend_interface_of(uint64_t ops_fingerprint) {
#ifdef _GLIBCXX_USE_CXX11_ABI
  return {.ops = ops_fingerprint, .string_abi = 1 + _GLIBCXX_USE_CXX11_ABI};
#else
  return {.ops = ops_fingerprint};
#endif
}

/// Opens the device of the backend library at `path`. Throws device_error when the library cannot be loaded
/// or was built from other sources, and whatever the library throws when there is no device.
std::shared_ptr<backend> open_backend_library(const std::string& path, const backend_interface& expected);

}  // namespace eva
