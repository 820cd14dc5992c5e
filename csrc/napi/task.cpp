#include "napi/task.h"

namespace eva::napi {

struct task_queue::pending {
  Napi::Promise::Deferred deferred;
  task work;
  std::optional<error> failure = std::nullopt;
  std::shared_ptr<int> unsettled;
  channel to_js_thread;

  void perform() {
    try {
      work.work();
    } catch (const error& e) {
      failure = e;
    } catch (const std::bad_alloc&) {
      failure = out_of_memory_error("out of host memory");
    } catch (const std::exception& e) {
      failure = error("ERR_EVACLIP_INTERNAL", e.what());
    }
  }
};

task_queue::task_queue(Napi::Env env, std::shared_ptr<device> on) : device_(std::move(on)) {
  const auto close = [open = channel_open_](Napi::Env, void*, std::nullptr_t*) { *open = false; };
  channel_ = channel::New(env, "eva-clip device", 0, 1, nullptr, close, static_cast<void*>(nullptr));
  channel_.Unref(env);
}

// An environment that ends closes the channel first, and then drops the objects that use it.
task_queue::~task_queue() {
  if (*channel_open_) channel_.Release();
}

Napi::Promise task_queue::run(Napi::Env env, task work) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  if (device_->closed()) {
    deferred.Reject(to_js(env, disposed_error("the device")).Value());
    return deferred.Promise();
  }
  if ((*unsettled_)++ == 0) channel_.Ref(env);
  // Not freed when the environment goes before the job ran: its references could then no longer be dropped.
  auto* job = new pending{deferred, std::move(work), std::nullopt, unsettled_, channel_};
  channel_.Acquire();
  device_->thread().post([job] {
    job->perform();
    channel to_js_thread = job->to_js_thread;
    to_js_thread.NonBlockingCall(job);
    to_js_thread.Release();
  });
  return deferred.Promise();
}

void task_queue::settle(Napi::Env env, Napi::Function, std::nullptr_t*, pending* done) {
  if (env == nullptr) return;  // the environment is going
  const std::unique_ptr<pending> job(done);
  if (--*job->unsettled == 0) job->to_js_thread.Unref(env);
  if (job->failure) {
    job->deferred.Reject(to_js(env, *job->failure).Value());
    return;
  }
  try {
    job->deferred.Resolve(job->work.result ? job->work.result(env) : env.Undefined());
  } catch (const Napi::Error& e) {
    job->deferred.Reject(e.Value());
  }
}

}  // namespace eva::napi
