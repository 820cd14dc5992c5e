#pragma once

#include <napi.h>

#include "napi/task.h"
#include "runtime/parameter.h"

namespace eva::napi {

/// ({ kind, index, threads, instructionSet, cudaLibrary }) → a promise of the device.
Napi::Value open_device(const Napi::CallbackInfo& info);

/// JavaScript wrapper of a device.
class device_object final : public Napi::ObjectWrap<device_object> {
 public:
  explicit device_object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<device_object>(info) {}
  static Napi::Function define(Napi::Env env);

  void take(std::shared_ptr<device> opened, std::shared_ptr<task_queue> queue) {
    device_ = std::move(opened);
    queue_ = std::move(queue);
  }
  const std::shared_ptr<device>& native() const { return device_; }
  const std::shared_ptr<task_queue>& queue() const { return queue_; }

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value create_parameter(const Napi::CallbackInfo& info);
  Napi::Value expect_free(const Napi::CallbackInfo& info);
  Napi::Value nearest_rows(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<device> device_;
  std::shared_ptr<task_queue> queue_;
};

/// A parameter's storage: write(typedArray), load(pieces), read(typedArray) → promises; window(firstRow,
/// shape, storedShape) → another in its memory; dispose().
class parameter_object final : public Napi::ObjectWrap<parameter_object> {
 public:
  explicit parameter_object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<parameter_object>(info) {}
  static Napi::Function define(Napi::Env env);

  void take(std::shared_ptr<parameter> storage, std::shared_ptr<task_queue> queue) {
    parameter_ = std::move(storage);
    queue_ = std::move(queue);
  }
  const std::shared_ptr<parameter>& native() const { return parameter_; }

 private:
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value window(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) { parameter_->dispose(); }
  /// A copy for queued work, which keeps the memory alive if the parameter is disposed. Throws
  /// disposed_error.
  parameter storage() const;

  std::shared_ptr<parameter> parameter_;
  std::shared_ptr<task_queue> queue_;
};

}  // namespace eva::napi
