#include "napi/device_object.h"

#include <dlfcn.h>

#include <filesystem>
#include <limits>

#include "cpu/dispatch/backend.h"
#include "napi/convert.h"
#include "napi/file_object.h"
#include "napi/row_search.h"
#include "ops/fingerprint.h"
#include "runtime/backend_library.h"

namespace eva::napi {
namespace {

/// Default path of the CUDA backend, a separate library next to the addon, so that the addon loads without a
/// GPU.
std::string default_cuda_library() {
  Dl_info addon;
  const auto* here = reinterpret_cast<const void*>(&default_cuda_library);
  const std::filesystem::path path = dladdr(here, &addon) != 0 ? addon.dli_fname : "";
  return path.parent_path() / "libeva_clip_cuda.so";
}

std::string shortened(const std::string& path) {
  constexpr size_t most = 200;
  return path.size() <= most ? path : path.substr(0, most) + "…";
}

std::shared_ptr<backend> open_cuda(const std::string& path, int index) {
  std::error_code reason;
  // Opening a pipe would block forever.
  if (!std::filesystem::is_regular_file(path, reason))
    throw device_error("the package has no CUDA backend (" + shortened(path) +
                           (reason && reason != std::errc::no_such_file_or_directory ? ": " + reason.message()
                                                                                     : std::string()) +
                           "); in a checkout, `npm run build:cuda` builds it with nvcc 12.4 or newer",
                       {{"needed", "libeva_clip_cuda.so"}, {"found", "none"}, {"path", shortened(path)}});
  return open_backend_library(path, backend_interface_of(ops::fingerprint), index);
}

std::string text_from(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

int gpu_number(const Napi::Value& value) {
  constexpr int64_t most = std::numeric_limits<int>::max();
  return int(std::min(most, non_negative_integer_from(value, "index")));
}

device::opener opener_from(const Napi::Value& value) {
  if (!value.IsObject()) throw argument_error("options must be an object");
  const auto options = value.As<Napi::Object>();
  const std::string kind = text_from(options, "kind");
  if (kind == "cuda")
    return [given = text_from(options, "cudaLibrary"), index = gpu_number(options.Get("index"))] {
      return open_cuda(given.empty() ? default_cuda_library() : given, index);
    };
  if (kind != "cpu") throw device_error("this build has no " + kind + " backend", {{"kind", kind}});
  const int64_t threads = non_negative_integer_from(options.Get("threads"), "threads");
  return [threads, set = text_from(options, "instructionSet")] { return cpu::open(threads, set); };
}

}  // namespace

Napi::Value open_device(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    auto open = opener_from(info[0]);
    auto native = std::make_shared<device>();
    environment::of(info.Env()).add(native);
    auto queue = std::make_shared<task_queue>(info.Env(), native);
    return queue->run(info.Env(), {.work = [native, open = std::move(open)] { native->open(open); },
                                   .result = [native, queue](Napi::Env env) -> Napi::Value {
                                     auto object = environment::of(env).device_class.New({});
                                     device_object::Unwrap(object)->take(native, queue);
                                     return object;
                                   }});
  });
}

Napi::Function device_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeDevice",
      {InstanceMethod<&device_object::info>("info"), InstanceMethod<&device_object::memory>("memory"),
       InstanceMethod<&device_object::create_parameter>("createParameter"),
       InstanceMethod<&device_object::expect_free>("expectFree"),
       InstanceMethod<&device_object::nearest_rows>("nearestRows"),
       InstanceMethod<&device_object::close>("close")});
}

Napi::Value device_object::info(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& description = device_->info();
    auto out = Napi::Object::New(info.Env());
    out.Set("kind", description.kind);
    out.Set("name", description.name);
    out.Set("instructionSet", description.instruction_set);
    out.Set("library", description.library);
    out.Set("threads", description.threads);
    if (!description.driver.empty()) out.Set("driver", description.driver);
    if (description.memory_bytes > 0) out.Set("memoryBytes", double(description.memory_bytes));
    return out;
  });
}

Napi::Value device_object::memory(const Napi::CallbackInfo& info) {
  struct usage {
    int64_t arena = 0, workspace = 0;
  };
  return guard(info.Env(), [&]() -> Napi::Value {
    auto now = std::make_shared<usage>();
    return queue_->run(info.Env(), {.work =
                                        [now, on = device_] {
                                          *now = {on->arena().bytes(), on->backend().workspace_bytes()};
                                        },
                                    .result = [now](Napi::Env env) -> Napi::Value {
                                      auto out = Napi::Object::New(env);
                                      out.Set("arenaBytes", double(now->arena));
                                      out.Set("workspaceBytes", double(now->workspace));
                                      return out;
                                    }});
  });
}

// (bytes): throws if that many more cannot be allocated.
Napi::Value device_object::expect_free(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (device_->closed()) throw disposed_error("the device");
    device_->backend().expect_free(non_negative_integer_from(info[0], "bytes"));
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

// ({ file, dtype, offset, rows, columns, queries, queryCount, count, cancelled, allowed? }) → a promise of
// { rows, similarities }.
Napi::Value device_object::nearest_rows(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    task work;
    auto search = std::make_shared<row_search>(info[0], *device_, queue_->inputs(), work);
    work.work = [search, on = device_] { search->run(on->thread()); };
    work.result = [search](Napi::Env env) { return search->result(env); };
    return queue_->run(info.Env(), std::move(work));
  });
}

// Frees all memory and ends the thread, after the work already posted.
Napi::Value device_object::close(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto released =
        queue_->run(info.Env(), {.work = [on = device_] { on->release(); },
                                 .result = [on = device_, queue = queue_](Napi::Env env) -> Napi::Value {
                                   on->stop();
                                   queue->inputs().clear();
                                   return env.Undefined();
                                 }});
    device_->close();
    return released;
  });
}

Napi::Function parameter_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeParameter",
      {InstanceMethod<&parameter_object::write>("write"), InstanceMethod<&parameter_object::load>("load"),
       InstanceMethod<&parameter_object::read>("read"), InstanceMethod<&parameter_object::window>("window"),
       InstanceMethod<&parameter_object::dispose>("dispose")});
}

parameter parameter_object::storage() const {
  if (!parameter_->memory()) throw disposed_error("the parameter");
  return *parameter_;
}

Napi::Value parameter_object::write(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    task work;
    work.work = [to = storage(), from = input_from(info[0], parameter_->bytes(), "data", queue_->inputs(),
                                                   work)] { to.write(from.get()); };
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

Napi::Value parameter_object::window(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const int64_t first_row = non_negative_integer_from(info[0], "firstRow");
    auto storage =
        std::make_shared<parameter>(this->storage(), first_row, shape_from(info[1]), shape_from(info[2]));
    auto object = environment::of(info.Env()).parameter_class.New({});
    parameter_object::Unwrap(object)->take(std::move(storage), queue_);
    return object;
  });
}

}  // namespace eva::napi
