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

task_queue::task_queue(Napi::Env env, std::shared_ptr<device> on)
    : task_queue(
          env, "eva-clip device",
          [on](std::function<void()> job) {
            if (on->closed() || !on->thread().post(std::move(job))) throw disposed_error("the device");
          },
          [on] { on->close(); }) {}

task_queue::task_queue(Napi::Env env, std::shared_ptr<worker_pool> on)
    : task_queue(
          env, "eva-clip workers",
          [on](std::function<void()> job) {
            if (!on->post(std::move(job))) throw disposed_error("the environment");
          },
          [] {}) {}

task_queue::task_queue(Napi::Env env, const char* name, poster post, std::function<void()> close_threads)
    : post_(std::move(post)), close_(std::move(close_threads)) {
  const auto close = [open = function_open_](Napi::Env, void*, std::nullptr_t*) { *open = false; };
  settle_on_js_thread_ =
      thread_safe_function::New(env, name, 0, 1, nullptr, close, static_cast<void*>(nullptr));
  settle_on_js_thread_.Unref(env);
}

// An environment's teardown closes the thread-safe function before it destroys the objects that use it.
task_queue::~task_queue() {
  close_();
  if (*function_open_) settle_on_js_thread_.Release();
}

Napi::Promise task_queue::run(Napi::Env env, task work, const poster& post) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  // Owned by the environment, which may be torn down before the job has run.
  const std::shared_ptr<pending> job(
      new pending{deferred, std::move(work), std::nullopt, unsettled_, settle_on_js_thread_});
  environment::of(env).tasks.emplace(job.get(), job);
  if ((*unsettled_)++ == 0) settle_on_js_thread_.Ref(env);
  settle_on_js_thread_.Acquire();
  try {
    post([job = job.get()] {
      job->perform();
      thread_safe_function to_js_thread = job->to_js_thread;
      to_js_thread.NonBlockingCall(job);
      to_js_thread.Release();
    });
  } catch (...) {
    settle_on_js_thread_.Release();
    job->failure = current_failure();
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
