#include "napi/task.h"

namespace eva::napi {

struct task_queue::pending {
  Napi::Promise::Deferred deferred;
  task work;
  std::optional<error> failure;
  std::shared_ptr<int> unsettled;
  thread_safe_function to_js_thread;

  void perform() {
    try {
      work.work();
    } catch (...) {
      failure = current_failure();
    }
  }

  /// Called after perform() has finished.
  void settle(Napi::Env env) {
    if (--*unsettled == 0) to_js_thread.Unref(env);
    try {
      if (failure) throw to_js(env, *failure);
      deferred.Resolve(guard(env, [&] { return work.result ? work.result(env) : env.Undefined(); }));
    } catch (const Napi::Error& e) {
      deferred.Reject(e.Value());
    }
  }
};

task_queue::task_queue(Napi::Env env, std::shared_ptr<device> on) : device_(std::move(on)) {
  const auto close = [open = function_open_](Napi::Env, void*, std::nullptr_t*) { *open = false; };
  settle_on_js_thread_ =
      thread_safe_function::New(env, "eva-clip device", 0, 1, nullptr, close, static_cast<void*>(nullptr));
  settle_on_js_thread_.Unref(env);
}

// An environment's teardown closes the thread-safe function before it destroys the objects that use it.
task_queue::~task_queue() {
  device_->close();
  if (*function_open_) settle_on_js_thread_.Release();
}

Napi::Promise task_queue::run(Napi::Env env, task work) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  if (device_->closed()) {
    deferred.Reject(to_js(env, disposed_error("the device")).Value());
    return deferred.Promise();
  }
  // Owned by the environment, which may be torn down before the job has run.
  const std::shared_ptr<pending> job(
      new pending{deferred, std::move(work), std::nullopt, unsettled_, settle_on_js_thread_});
  environment::of(env).tasks.emplace(job.get(), job);
  if ((*unsettled_)++ == 0) settle_on_js_thread_.Ref(env);
  settle_on_js_thread_.Acquire();
  const bool posted = device_->thread().post([job = job.get()] {
    job->perform();
    thread_safe_function to_js_thread = job->to_js_thread;
    to_js_thread.NonBlockingCall(job);
    to_js_thread.Release();
  });
  if (!posted) {
    settle_on_js_thread_.Release();
    job->failure = disposed_error("the device");
    settle(env, {}, nullptr, job.get());
  }
  return deferred.Promise();
}

void task_queue::settle(Napi::Env env, Napi::Function, std::nullptr_t*, pending* done) {
  if (env == nullptr) return;  // the environment is being torn down and drops its tasks itself
  const auto job = environment::of(env).tasks.extract(done);
  done->settle(env);
}

}  // namespace eva::napi
