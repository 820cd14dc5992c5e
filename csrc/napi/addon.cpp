#include <napi.h>

#include "napi/environment.h"
#include "napi/file_object.h"
#include "napi/graph_object.h"
#include "napi/openmp_spinning.h"
#include "napi/resampler_object.h"
#include "napi/staged_object.h"

namespace eva::napi {

namespace {

// ((code, message, details) → Error): called once by lib/native.ts.
void set_error_factory(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    if (!info[0].IsFunction()) throw argument_error("the error factory must be a function");
    environment::of(info.Env()).make_error = Napi::Persistent(info[0].As<Napi::Function>());
  });
}

// Called before the process or worker ends, because process.exit() runs no cleanup hooks. Also stops workers.
void stop_devices(const Napi::CallbackInfo& info) { environment::of(info.Env()).stop(); }

// { op: [[field, kind], …] } for every op.
Napi::Value op_fields(const Napi::CallbackInfo& info) {
  auto out = Napi::Object::New(info.Env());
  for (const auto& schema : op_schemas()) {
    auto fields = Napi::Array::New(info.Env());
    for (const auto& [field, kind] : schema.fields) {
      auto pair = Napi::Array::New(info.Env());
      pair.Set(uint32_t(0), field);
      pair.Set(uint32_t(1), kind);
      fields.Set(fields.Length(), pair);
    }
    out.Set(schema.name, fields);
  }
  return out;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  unset_openmp_spinning();
  auto* state = new environment;
  env.SetInstanceData(state);
  // Device threads must end before the environment is torn down.
  env.AddCleanupHook(
      [](environment* e) {
        e->stop();
        e->tasks.clear();
      },
      state);
  state->device_class = Napi::Persistent(device_object::define(env));
  state->parameter_class = Napi::Persistent(parameter_object::define(env));
  state->program_class = Napi::Persistent(program_object::define(env));
  state->staged_class = Napi::Persistent(staged_object::define(env));
  state->file_class = Napi::Persistent(file_object::define(env));
  exports.Set("openDevice", Napi::Function::New(env, open_device));
  exports.Set("stopDevices", Napi::Function::New(env, stop_devices));
  exports.Set("Graph", graph_object::define(env));
  exports.Set("MappedFile", state->file_class.Value());
  exports.Set("Resampler", resampler_object::define(env));
  exports.Set("convertElements", Napi::Function::New(env, convert_elements));
  exports.Set("setErrorFactory", Napi::Function::New(env, set_error_factory));
  exports.Set("opFields", Napi::Function::New(env, op_fields));
  return exports;
}

}  // namespace

NODE_API_MODULE(eva_clip, initialize)

}  // namespace eva::napi
