#include "napi/device_object.h"

#include <dlfcn.h>

#include <filesystem>

#include "cpu/dispatch/backend.h"
#include "napi/convert.h"
#include "napi/file_object.h"
#include "ops/fingerprint.h"
#include "runtime/backend_library.h"

namespace eva::napi {
namespace {

/// Where the CUDA backend is when nobody says otherwise: a library of its own, so that the addon loads where
/// there is no GPU.
std::string beside_the_addon() {
  Dl_info addon;
  const auto* here = reinterpret_cast<const void*>(&beside_the_addon);
  const std::filesystem::path path = dladdr(here, &addon) != 0 ? addon.dli_fname : "";
  return path.parent_path() / "libeva_clip_cuda.so";
}

std::shared_ptr<backend> open_cuda(const std::string& path) {
  if (!std::filesystem::exists(path))
    throw device_error("the package has no CUDA backend (" + path +
                           "); in a checkout, `npm run build:cuda` builds it with nvcc 12.8 or newer",
                       {{"needed", "libeva_clip_cuda.so"}, {"found", "none"}, {"path", path}});
  return open_backend_library(path, backend_interface_of(ops::fingerprint));
}

std::shared_ptr<backend> open_backend(const Napi::Object& options) {
  const auto text = [&](const char* name) {
    const Napi::Value value = options.Get(name);
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  };
  const std::string kind = text("kind");
  if (kind == "cuda") {
    const std::string given = text("cudaLibrary");
    return open_cuda(given.empty() ? beside_the_addon() : given);
  }
  if (kind != "cpu") throw device_error("this build has no " + kind + " backend", {{"kind", kind}});
  const Napi::Value threads = options.Get("threads");
  return cpu::open(threads.IsNumber() ? threads.As<Napi::Number>().Int64Value() : 1, text("instructionSet"));
}

}  // namespace

Napi::Function device_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeDevice",
      {InstanceMethod<&device_object::info>("info"), InstanceMethod<&device_object::memory>("memory"),
       InstanceMethod<&device_object::create_parameter>("createParameter"),
       InstanceMethod<&device_object::expect_free>("expectFree"),
       InstanceMethod<&device_object::close>("close")});
}

device_object::device_object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<device_object>(info) {
  guard(info.Env(), [&] { device_ = std::make_shared<device>(open_backend(info[0].As<Napi::Object>())); });
  queue_ = std::make_shared<task_queue>(info.Env(), device_);
  environment::of(info.Env()).devices.push_back(device_);
}

Napi::Value device_object::info(const Napi::CallbackInfo& info) {
  const auto description = device_->backend().info();
  auto out = Napi::Object::New(info.Env());
  out.Set("kind", description.kind);
  out.Set("name", description.name);
  out.Set("instructionSet", description.instruction_set);
  out.Set("library", description.library);
  out.Set("threads", description.threads);
  if (!description.driver.empty()) out.Set("driver", description.driver);
  if (description.memory_bytes > 0) out.Set("memoryBytes", double(description.memory_bytes));
  return out;
}

Napi::Value device_object::memory(const Napi::CallbackInfo& info) {
  return queue_->run(info.Env(), {.work = [] {},
                                  .result = [native = device_](Napi::Env env) -> Napi::Value {
                                    auto out = Napi::Object::New(env);
                                    out.Set("arenaBytes", double(native->arena().bytes()));
                                    out.Set("workspaceBytes", double(native->backend().workspace_bytes()));
                                    return out;
                                  }});
}

// (bytes): throws when so many more cannot be had.
Napi::Value device_object::expect_free(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (device_->closed()) throw disposed_error("the device");
    device_->backend().expect_free(whole_number_from(info[0], "bytes"));
    return info.Env().Undefined();
  });
}

Napi::Value device_object::create_parameter(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (device_->closed()) throw disposed_error("the device");
    auto storage =
        std::make_shared<parameter>(device_, dtype_from(info[0]), shape_from(info[1]), shape_from(info[2]));
    auto object = environment::of(info.Env()).parameter_class.New({});
    parameter_object::Unwrap(object)->take(std::move(storage), queue_);
    return object;
  });
}

// Waits for what was posted before, then stops the thread.
Napi::Value device_object::close(const Napi::CallbackInfo& info) {
  return queue_->run(info.Env(), {.work = [] {},
                                  .result = [native = device_](Napi::Env env) -> Napi::Value {
                                    native->close();
                                    return env.Undefined();
                                  }});
}

Napi::Function parameter_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeParameter",
      {InstanceMethod<&parameter_object::write>("write"), InstanceMethod<&parameter_object::load>("load"),
       InstanceMethod<&parameter_object::read>("read"),
       InstanceMethod<&parameter_object::dispose>("dispose")});
}

parameter parameter_object::storage() const {
  parameter_->view();
  return *parameter_;
}

Napi::Value parameter_object::write(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    task work{
        .work = [to = storage(), from = bytes_of(info[0], parameter_->bytes(), "data")] { to.write(from); }};
    work.pinned.push_back(Napi::Persistent(info[0].As<Napi::Object>()));
    return queue_->run(info.Env(), std::move(work));
  });
}

// ([{ file, dtype, offset, shape, strides, at }]) → promise.
Napi::Value parameter_object::load(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const parameter to = storage();
    return queue_->run(info.Env(),
                       {.work = [to, pieces = pieces_from(info[0], to)] { napi::load(pieces, to); }});
  });
}

Napi::Value parameter_object::read(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    task work{
        .work = [from = storage(), to = bytes_of(info[0], parameter_->bytes(), "into")] { from.read(to); }};
    work.pinned.push_back(Napi::Persistent(info[0].As<Napi::Object>()));
    return queue_->run(info.Env(), std::move(work));
  });
}

}  // namespace eva::napi
