#pragma once

#include <napi.h>

#include "graph/program.h"
#include "napi/device_object.h"

namespace eva::napi {

/// A graph that JavaScript records; lib/native.ts declares its interface.
class graph_object final : public Napi::ObjectWrap<graph_object> {
 public:
  explicit graph_object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<graph_object>(info) {}
  static Napi::Function define(Napi::Env env);

 private:
  Napi::Value input(const Napi::CallbackInfo& info);
  Napi::Value constant(const Napi::CallbackInfo& info);
  Napi::Value parameter(const Napi::CallbackInfo& info);
  Napi::Value reshape(const Napi::CallbackInfo& info);
  Napi::Value rows(const Napi::CallbackInfo& info);
  Napi::Value apply(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);

  /// The graph being recorded; throws after compile.
  graph& recording();

  std::shared_ptr<graph> graph_ = std::make_shared<graph>();
};

/// A program: stage(ids, inputs), run(ids, inputs, outputs, staged?), stats(), profile().
class program_object final : public Napi::ObjectWrap<program_object> {
 public:
  explicit program_object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<program_object>(info) {}
  ~program_object() override { end(); }
  static Napi::Function define(Napi::Env env);

  void take(std::shared_ptr<program> native, std::shared_ptr<task_queue> queue) {
    program_ = std::move(native);
    queue_ = std::move(queue);
  }

 private:
  Napi::Value stage(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value start_profile(const Napi::CallbackInfo& info);
  Napi::Value profile(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) { end(); }
  void end();
  const std::shared_ptr<program>& native() const;

  std::shared_ptr<program> program_;
  std::shared_ptr<task_queue> queue_;
};

}  // namespace eva::napi
