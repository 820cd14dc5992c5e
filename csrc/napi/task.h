#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>

#include "napi/environment.h"
#include "napi/input_memory.h"

namespace eva::napi {

/// Work for a device's thread, and the promise that it settles.
struct task {
  std::function<void()> work;                              // on the device's thread; may throw
  std::function<Napi::Value(Napi::Env)> result = nullptr;  // on the JavaScript thread; undefined without it
  std::vector<Napi::ObjectReference> pinned = {};          // kept from the garbage collector meanwhile
};

/// Brings finished tasks back to the JavaScript thread. While tasks are pending it keeps the event loop
/// alive. The objects of a device share it, and when the last has gone, the device closes.
class task_queue {
 public:
  task_queue(Napi::Env env, std::shared_ptr<device> on);
  ~task_queue();

  /// Must be called on the JavaScript thread. Rejects with disposed_error once the device has been closed.
  Napi::Promise run(Napi::Env env, task work);

  /// Buffers that the tasks' inputs are copied to.
  input_memory& inputs() { return inputs_; }

 private:
  struct pending;
  static void settle(Napi::Env env, Napi::Function, std::nullptr_t*, pending* done);
  using channel = Napi::TypedThreadSafeFunction<std::nullptr_t, pending, settle>;

  std::shared_ptr<device> device_;
  std::shared_ptr<int> unsettled_ = std::make_shared<int>(0);
  std::shared_ptr<bool> channel_open_ = std::make_shared<bool>(true);
  channel channel_;
  input_memory inputs_;
};

}  // namespace eva::napi
