#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "runtime/device.h"
#include "runtime/worker_pool.h"

namespace eva::napi {

class task_queue;

/// State of one JavaScript environment (the main thread's or a worker's), kept as instance data so that the
/// addon works in several at once.
struct environment {
  Napi::FunctionReference make_error;  // (code, message, details) → an Error of that environment
  Napi::FunctionReference device_class;
  Napi::FunctionReference parameter_class;
  Napi::FunctionReference program_class;
  Napi::FunctionReference staged_class;
  Napi::FunctionReference file_class;
  /// Kept until their threads have ended, so that no device is destroyed on its own thread.
  std::vector<std::shared_ptr<device>> devices;
  /// Threads for work without a device, and their tasks; null until the first.
  std::shared_ptr<worker_pool> workers;
  std::shared_ptr<task_queue> worker_tasks;
  /// Tasks with pending promises.
  std::unordered_map<const void*, std::shared_ptr<void>> tasks;

  static environment& of(Napi::Env env) { return *env.GetInstanceData<environment>(); }

  /// Adds a device and drops those whose threads have ended.
  void add(std::shared_ptr<device> opened);
  /// The tasks of the worker threads. On the JavaScript thread.
  task_queue& on_workers(Napi::Env env);
  /// Stops all devices and workers: cancels running jobs, drops queued ones and joins the threads.
  void stop();
};

Napi::Error to_js(Napi::Env env, const error& e);

/// The exception being handled, of any type, as an error with a code.
error current_failure();

/// Runs `body`; any exception becomes a JavaScript error with a code.
template <class Body> auto guard(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js(env, current_failure());
  }
}

/// The C++ object wrapped by an instance of class `made_by` of this environment. Objects of another copy of
/// the package are of another class.
template <class T>
T* unwrap(const Napi::Value& value, const Napi::FunctionReference& made_by, const char* what) {
  const auto refuse = [&] {
    return argument_error("expected " + std::string(what) + " of this copy of the package");
  };
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(made_by.Value())) throw refuse();
  void* wrapped = nullptr;
  if (napi_unwrap(value.Env(), value, &wrapped) != napi_ok || !wrapped) throw refuse();
  return static_cast<T*>(wrapped);
}

}  // namespace eva::napi
