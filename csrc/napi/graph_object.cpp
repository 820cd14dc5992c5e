#include "napi/graph_object.h"

#include "napi/convert.h"
#include "napi/staged_object.h"

namespace eva::napi {

Napi::Function graph_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeGraph",
      {InstanceMethod<&graph_object::input>("input"), InstanceMethod<&graph_object::constant>("constant"),
       InstanceMethod<&graph_object::parameter>("parameter"),
       InstanceMethod<&graph_object::reshape>("reshape"), InstanceMethod<&graph_object::rows>("rows"),
       InstanceMethod<&graph_object::apply>("apply"), InstanceMethod<&graph_object::compile>("compile")});
}

graph& graph_object::recording() {
  if (!graph_) throw argument_error("the graph has been compiled; nothing more can be recorded in it");
  return *graph_;
}

Napi::Value graph_object::input(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), recording().input(dtype_from(info[0]), shape_from(info[1])));
  });
}

Napi::Value graph_object::constant(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const tensor type{dtype_from(info[0]), shape_from(info[1])};
    const std::byte* bytes = bytes_of(info[2], type.bytes(), "the constant");
    return Napi::Number::New(info.Env(), recording().constant(type.type, type.dims, bytes));
  });
}

Napi::Value graph_object::parameter(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto* object =
        unwrap<parameter_object>(info[0], environment::of(info.Env()).parameter_class, "a parameter");
    return Napi::Number::New(info.Env(), recording().parameter(object->native()));
  });
}

Napi::Value graph_object::reshape(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto from = value_id(non_negative_integer_from(info[0], "a value id"));
    return Napi::Number::New(info.Env(), recording().reshape(from, shape_from(info[1])));
  });
}

Napi::Value graph_object::rows(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto from = value_id(non_negative_integer_from(info[0], "a value id"));
    const int64_t begin = non_negative_integer_from(info[1], "begin"),
                  end = non_negative_integer_from(info[2], "end");
    return Napi::Number::New(info.Env(), recording().rows(from, begin, end));
  });
}

// (op, inputs, attributes) → [{ field, id, dtype, shape }] of the outputs, in their declared order.
Napi::Value graph_object::apply(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsString()) throw argument_error("the op's name must be a string");
    const std::string op = info[0].As<Napi::String>();
    const node& n = recording().apply(op, operands_from(info[1]), attributes_from(info[2]));
    auto outputs = Napi::Array::New(info.Env());
    for (const slot& s : n.slots) {
      if (s.how != access::write) continue;
      auto output = Napi::Object::New(info.Env());
      output.Set("field", s.field);
      output.Set("id", s.value);
      output.Set("dtype", std::string(to_string(s.place->type)));
      output.Set("shape", to_js(info.Env(), s.place->dims));
      outputs.Set(outputs.Length(), output);
    }
    return outputs;
  });
}

// (device, output ids, { shareMemory }) → a promise of the program.
Napi::Value graph_object::compile(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto* on = unwrap<device_object>(info[0], environment::of(info.Env()).device_class, "a device");
    program::options how;
    if (info[2].IsObject()) how.share_memory = info[2].As<Napi::Object>().Get("shareMemory").ToBoolean();
    recording();
    const auto native = destroyed_on(
        on->native(), std::make_unique<program>(on->native(), std::move(graph_), ids_from(info[1]), how));
    on->native()->hold(native);
    return on->queue()->run(info.Env(),
                            {.work = [native] { native->prepare(); },
                             .result = [native, queue = on->queue()](Napi::Env env) -> Napi::Value {
                               auto object = environment::of(env).program_class.New({});
                               program_object::Unwrap(object)->take(native, queue);
                               return object;
                             }});
  });
}

Napi::Function program_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeProgram",
      {InstanceMethod<&program_object::stage>("stage"), InstanceMethod<&program_object::run>("run"),
       InstanceMethod<&program_object::stats>("stats"),
       InstanceMethod<&program_object::start_profile>("startProfile"),
       InstanceMethod<&program_object::profile>("profile"),
       InstanceMethod<&program_object::dispose>("dispose")});
}

const std::shared_ptr<program>& program_object::native() const {
  if (!program_) throw disposed_error("the program");
  return program_;
}

/// What waits for a slot would wait forever.
void program_object::end() {
  if (program_) program_->staging()->end();
  program_.reset();
}

// (input ids, input typed arrays) → a promise of inputs for `run`: large ones are copied to a device that can
// do so while it works, others are kept.
Napi::Value program_object::stage(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto target = native();
    const auto on = target->owner();
    if (on->closed()) throw disposed_error("the device");
    const auto ids = ids_from(info[0]);
    if (!info[1].IsArray()) throw argument_error("inputs must be an array");
    const auto given = info[1].As<Napi::Array>();
    task copy, keep;
    std::vector<input_staging::input> copied;
    std::vector<std::shared_ptr<const std::byte>> read;
    auto staged = std::make_shared<staged_object::contents>(
        staged_object::contents{std::make_shared<staged_inputs>(target->staging())});
    for (uint32_t i = 0; i < ids.size(); ++i) {
      const int64_t size = target->type_of(ids[i]).bytes();
      const bool copies = target->stages(ids[i]);
      auto bytes = input_from(given.Get(i), size, "an input", queue_->inputs(), copies ? copy : keep);
      if (copies)
        copied.push_back({ids[i], bytes.get(), size});
      else
        staged->on_host.push_back({ids[i], bytes.get()});
      (copies ? read : staged->owned).push_back(std::move(bytes));
    }
    staged->pinned = std::move(keep.pinned);
    if (copied.empty()) {
      const auto ready = Napi::Promise::Deferred::New(info.Env());
      ready.Resolve(staged_object::holding(info.Env(), std::move(*staged)));
      return ready.Promise();
    }
    const auto slots = staged->on_device;
    copy.work = [target, slots, copied = std::move(copied), read = std::move(read)] { slots->fill(copied); };
    copy.result = [staged](Napi::Env env) { return staged_object::holding(env, std::move(*staged)); };
    return queue_->run(info.Env(), std::move(copy), [on, slots](std::function<void()> job) {
      if (!on->input_lane().post(std::move(job), [slots] { return slots->reserve(); }))
        throw disposed_error("the device");
    });
  });
}

// (input ids, input typed arrays, output typed arrays in the order of compile's outputs, staged inputs?) →
// promise. The outputs must not be detached until it settles.
Napi::Value program_object::run(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto target = native();
    const auto ids = ids_from(info[0]);
    if (!info[1].IsArray() || !info[2].IsArray()) throw argument_error("inputs and outputs must be arrays");
    const auto given = info[1].As<Napi::Array>(), wanted = info[2].As<Napi::Array>();
    task work;
    std::vector<program::source> inputs;
    std::vector<std::shared_ptr<const std::byte>> owned;
    for (uint32_t i = 0; i < ids.size(); ++i) {
      owned.push_back(
          input_from(given.Get(i), target->type_of(ids[i]).bytes(), "an input", queue_->inputs(), work));
      inputs.push_back({ids[i], owned.back().get()});
    }
    std::vector<void*> outputs;
    for (uint32_t i = 0; i < target->outputs().size(); ++i) {
      const Napi::Value array = wanted.Get(i);
      outputs.push_back(bytes_of(array, target->type_of(target->outputs()[i]).bytes(), "an output"));
      work.pinned.push_back(Napi::Persistent(array.As<Napi::Object>()));
    }
    staged_object::contents staged;
    if (!info[3].IsUndefined())
      staged = unwrap<staged_object>(info[3], environment::of(info.Env()).staged_class, "staged inputs")
                   ->take(target->staging());
    inputs.insert(inputs.end(), staged.on_host.begin(), staged.on_host.end());
    owned.insert(owned.end(), staged.owned.begin(), staged.owned.end());
    for (auto& each : staged.pinned) work.pinned.push_back(std::move(each));
    work.work = [target, inputs = std::move(inputs), owned = std::move(owned), outputs = std::move(outputs),
                 slots = std::move(staged.on_device)] { target->run(inputs, outputs, slots.get()); };
    return queue_->run(info.Env(), std::move(work));
  });
}

Napi::Value program_object::stats(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    auto out = Napi::Object::New(info.Env());
    out.Set("kernels", double(native()->kernels()));
    out.Set("arenaBytes", double(native()->arena_bytes()));
    out.Set("unsharedBytes", double(native()->unshared_bytes()));
    if (const std::string reason = native()->capture_failure(); !reason.empty())
      out.Set("captureFailure", reason);
    return out;
  });
}

Napi::Value program_object::start_profile(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto what = info[0].ToBoolean() ? program::timed::whole : program::timed::kernels;
    return queue_->run(info.Env(), {.work = [what, target = native()] { target->start_profile(what); }});
  });
}

Napi::Value program_object::profile(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    auto timings = std::make_shared<std::vector<program::timing>>();
    return queue_->run(info.Env(), {.work = [timings, target = native()] { *timings = target->profile(); },
                                    .result = [timings](Napi::Env env) -> Napi::Value {
                                      auto list = Napi::Array::New(env);
                                      for (const auto& timing : *timings) {
                                        auto entry = Napi::Object::New(env);
                                        entry.Set("op", timing.op);
                                        entry.Set("calls", double(timing.calls));
                                        entry.Set("seconds", timing.seconds);
                                        entry.Set("flops", timing.flops);
                                        list.Set(list.Length(), entry);
                                      }
                                      return list;
                                    }});
  });
}

}  // namespace eva::napi
