#pragma once

#include <napi.h>

#include "graph/program.h"
#include "napi/environment.h"

namespace eva::napi {

/// Inputs of a program for one run; lib/native.ts declares its interface.
class staged_object final : public Napi::ObjectWrap<staged_object> {
 public:
  /// Owned and destroyed on the JavaScript thread.
  struct contents {
    std::shared_ptr<staged_inputs> on_device;
    std::vector<program::source> on_host = {};  // read by the run
    std::vector<std::shared_ptr<const std::byte>> owned = {};
    std::vector<Napi::ObjectReference> pinned = {};
  };

  explicit staged_object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<staged_object>(info) {}
  static Napi::Function define(Napi::Env env);
  static Napi::Value holding(Napi::Env env, contents held);

  /// The inputs, for the program with this staging; the object is empty afterwards. Throws argument_error.
  contents take(const std::shared_ptr<input_staging>& program);

 private:
  void dispose(const Napi::CallbackInfo&) { held_.reset(); }

  std::optional<contents> held_;
};

}  // namespace eva::napi
