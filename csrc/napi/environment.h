#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "core/error.h"
#include "runtime/device.h"

namespace eva::napi {

/// What belongs to one JavaScript environment (the main thread's or a worker's): instance data, so the addon
/// works in all of them at once.
struct environment {
  Napi::FunctionReference make_error;  // (code, message, details) → an Error of that environment
  Napi::FunctionReference parameter_class;
  Napi::FunctionReference program_class;
  Napi::FunctionReference file_class;
  std::vector<std::weak_ptr<device>> devices;  // joined before the environment goes

  static environment& of(Napi::Env env) { return *env.GetInstanceData<environment>(); }
};

Napi::Error to_js(Napi::Env env, const error& e);

/// Runs `body`; a library failure leaves as the JavaScript error with the same code.
template <class Body> auto guard(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const error& e) {
    throw to_js(env, e);
  } catch (const std::bad_alloc&) {
    throw to_js(env, out_of_memory_error("out of host memory"));
  }
}

}  // namespace eva::napi
