#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>

#include "napi/environment.h"
#include "napi/input_memory.h"
#include "runtime/worker_pool.h"

namespace eva::napi {

/// Work for another thread whose promise is settled on the JavaScript thread.
struct task {
  std::function<void()> work;                              // on the other thread; may throw
  std::function<Napi::Value(Napi::Env)> result = nullptr;  // on the JavaScript thread; default: undefined
  std::vector<Napi::ObjectReference> pinned = {};          // kept alive until the promise is settled
};

/// Runs tasks on other threads and settles their promises on the JavaScript thread. Pending tasks keep the
/// event loop alive. Shared by the objects of a device, which is closed when the last of them is gone.
class task_queue {
 public:
  /// Hands a job over to a thread; throws if none takes it.
  using poster = std::function<void(std::function<void()>)>;

  task_queue(Napi::Env env, std::shared_ptr<device> on);
  /// On the threads of a pool.
  task_queue(Napi::Env env, std::shared_ptr<worker_pool> on);
  ~task_queue();

  /// Must be called on the JavaScript thread. Rejects with disposed_error once the threads have ended.
  Napi::Promise run(Napi::Env env, task work) { return run(env, std::move(work), post_); }
  /// The same on a thread of the caller's choice.
  Napi::Promise run(Napi::Env env, task work, const poster& post);

  /// Buffers for copies of the tasks' inputs.
  input_memory& inputs() { return inputs_; }

 private:
  struct pending;
  static void settle(Napi::Env env, Napi::Function, std::nullptr_t*, pending* done);
  using thread_safe_function = Napi::TypedThreadSafeFunction<std::nullptr_t, pending, settle>;

  task_queue(Napi::Env env, const char* name, poster post, std::function<void()> close);

  const poster post_;
  const std::function<void()> close_;
  std::shared_ptr<int> unsettled_ = std::make_shared<int>(0);
  std::shared_ptr<bool> function_open_ = std::make_shared<bool>(true);
  thread_safe_function settle_on_js_thread_;
  input_memory inputs_;
};

}  // namespace eva::napi
