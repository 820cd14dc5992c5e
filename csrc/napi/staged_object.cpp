#include "napi/staged_object.h"

#include <utility>

namespace eva::napi {

Napi::Function staged_object::define(Napi::Env env) {
  return DefineClass(env, "NativeStagedInputs", {InstanceMethod<&staged_object::dispose>("dispose")});
}

Napi::Value staged_object::holding(Napi::Env env, contents held) {
  auto object = environment::of(env).staged_class.New({});
  Unwrap(object)->held_ = std::move(held);
  return object;
}

staged_object::contents staged_object::take(const std::shared_ptr<input_staging>& program) {
  if (!held_) throw argument_error("the staged inputs were used by a run or disposed; each serves one run");
  if (!held_->on_device->belong_to(program))
    throw argument_error("the staged inputs are those of another program");
  return *std::exchange(held_, std::nullopt);
}

}  // namespace eva::napi
