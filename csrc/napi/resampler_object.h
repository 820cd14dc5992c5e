#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "image/resample.h"

namespace eva::napi {

/// JavaScript wrapper of a resampler: ({ x, y, filter, into }), columns, rows, add(part) → a promise.
class resampler_object final : public Napi::ObjectWrap<resampler_object> {
 public:
  explicit resampler_object(const Napi::CallbackInfo& info);
  static Napi::Function define(Napi::Env env);

 private:
  Napi::Value columns(const Napi::CallbackInfo& info);
  Napi::Value rows(const Napi::CallbackInfo& info);
  Napi::Value add(const Napi::CallbackInfo& info);

  Napi::ObjectReference into_;
  std::unique_ptr<image::resampler> resampler_;
  std::atomic<bool> is_busy_ = false;
};

}  // namespace eva::napi
