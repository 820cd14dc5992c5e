#include "napi/environment.h"

#include "napi/task.h"

namespace eva::napi {

void environment::add(std::shared_ptr<device> opened) {
  std::erase_if(devices, [](const auto& each) { return each->thread().ended(); });
  devices.push_back(std::move(opened));
}

void environment::stop() {
  for (const auto& each : devices) each->stop();
  if (workers) workers->stop();
}

task_queue& environment::on_workers(Napi::Env env) {
  if (!worker_tasks) {
    workers = std::make_shared<worker_pool>();
    worker_tasks = std::make_shared<task_queue>(env, workers);
  }
  return *worker_tasks;
}

Napi::Error to_js(Napi::Env env, const error& e) {
  const auto& make = environment::of(env).make_error;
  if (make.IsEmpty()) return Napi::Error::New(env, std::string(e.code) + ": " + e.what());
  auto details = Napi::Object::New(env);
  for (const auto& [name, value] : e.details) details.Set(name, value);
  return Napi::Error(env,
                     make.Call({Napi::String::New(env, e.code), Napi::String::New(env, e.what()), details}));
}

error current_failure() {
  try {
    throw;
  } catch (const error& e) {
    return e;
  } catch (const std::bad_alloc&) {
    return out_of_memory_error("out of host memory");
  } catch (const std::exception& e) {
    return error("ERR_EVACLIP_INTERNAL", e.what());
  } catch (...) {
    return error("ERR_EVACLIP_INTERNAL", "an exception of an unknown type");
  }
}

}  // namespace eva::napi
