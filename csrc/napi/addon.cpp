#include <napi.h>

#include "napi/environment.h"
#include "napi/file_object.h"
#include "napi/graph_object.h"

namespace eva::napi {

Napi::Error to_js(Napi::Env env, const error& e) {
  auto details = Napi::Object::New(env);
  for (const auto& [name, value] : e.details) details.Set(name, value);
  const auto& make = environment::of(env).make_error;
  return Napi::Error(env,
                     make.Call({Napi::String::New(env, e.code), Napi::String::New(env, e.what()), details}));
}

namespace {

// ((code, message, details) → Error): called once by lib/native.ts.
void set_error_factory(const Napi::CallbackInfo& info) {
  environment::of(info.Env()).make_error = Napi::Persistent(info[0].As<Napi::Function>());
}

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
  auto* state = new environment;
  env.SetInstanceData(state);
  // Before anything of the environment goes, no device thread may still work for it.
  env.AddCleanupHook(
      [](environment* e) {
        for (const auto& weak : e->devices)
          if (const auto live = weak.lock()) live->close();
      },
      state);
  state->parameter_class = Napi::Persistent(parameter_object::define(env));
  state->program_class = Napi::Persistent(program_object::define(env));
  state->file_class = Napi::Persistent(file_object::define(env));
  exports.Set("Device", device_object::define(env));
  exports.Set("Graph", graph_object::define(env));
  exports.Set("MappedFile", state->file_class.Value());
  exports.Set("convertElements", Napi::Function::New(env, convert_elements));
  exports.Set("setErrorFactory", Napi::Function::New(env, set_error_factory));
  exports.Set("opFields", Napi::Function::New(env, op_fields));
  return exports;
}

}  // namespace

NODE_API_MODULE(eva_clip, initialize)

}  // namespace eva::napi
