#include "napi/resampler_object.h"

#include "napi/convert.h"
#include "napi/environment.h"
#include "napi/task.h"

namespace eva::napi {
namespace {

image::resample_axis axis_from(const Napi::Value& value) {
  if (!value.IsObject()) throw argument_error("an axis must be an object");
  const auto object = value.As<Napi::Object>();
  const auto integer = [&](const char* name) { return non_negative_integer_from(object.Get(name), name); };
  const auto position = [&](const char* name) {
    const Napi::Value given = object.Get(name);
    if (!given.IsNumber()) throw argument_error(std::string(name) + " must be a number");
    return given.As<Napi::Number>().FloatValue();
  };
  return {integer("length"), position("begin"), position("end"),
          integer("target"), integer("offset"), integer("count")};
}

Napi::Value to_js(Napi::Env env, image::pixel_range range) {
  auto pair = Napi::Array::New(env);
  pair.Set(uint32_t(0), double(range.begin));
  pair.Set(uint32_t(1), double(range.end));
  return pair;
}

}  // namespace

Napi::Function resampler_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeResampler",
      {InstanceAccessor<&resampler_object::columns>("columns"),
       InstanceAccessor<&resampler_object::rows>("rows"), InstanceMethod<&resampler_object::add>("add")});
}

resampler_object::resampler_object(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<resampler_object>(info) {
  guard(info.Env(), [&] {
    if (!info[0].IsObject()) throw argument_error("a resize must be an object");
    const auto object = info[0].As<Napi::Object>();
    const auto x = axis_from(object.Get("x")), y = axis_from(object.Get("y"));
    const Napi::Value filter = object.Get("filter"), into = object.Get("into");
    const auto& known = image::filter_named(filter.IsString() ? filter.As<Napi::String>().Utf8Value() : "");
    constexpr int64_t most_side = int64_t(1) << 24;
    if (x.count > most_side || y.count > most_side)
      throw argument_error("a resized image has at most " + std::to_string(most_side) + " pixels per side");
    auto* out = bytes_of(into, x.count * y.count * cpu::filter_channels, "into");
    resampler_ = std::make_unique<image::resampler>(x, y, known, reinterpret_cast<uint8_t*>(out));
    into_ = Napi::Persistent(into.As<Napi::Object>());
  });
}

Napi::Value resampler_object::columns(const Napi::CallbackInfo& info) {
  return to_js(info.Env(), resampler_->columns());
}

Napi::Value resampler_object::rows(const Napi::CallbackInfo& info) {
  return to_js(info.Env(), resampler_->rows());
}

// (part) → a promise. The part is copied first: it may be memory of a decoder, which Node frees when the
// environment ends, before any hook could end the threads.
Napi::Value resampler_object::add(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsTypedArray()) throw argument_error("a part must be a typed array");
    const auto bytes = info[0].As<Napi::TypedArray>().ByteLength();
    task_queue& workers = environment::of(info.Env()).on_workers(info.Env());
    task work;
    const auto part = input_from(info[0], int64_t(bytes), "part", workers.inputs(), work);
    if (is_busy_.exchange(true)) throw argument_error("parts of an image are added one after another");
    work.work = [this, bytes, part] {
      struct idle_again {
        std::atomic<bool>& busy;
        ~idle_again() { busy = false; }
      } const at_the_end{is_busy_};
      resampler_->add(std::span(reinterpret_cast<const uint8_t*>(part.get()), bytes));
    };
    work.pinned.push_back(Napi::Persistent(info.This().As<Napi::Object>()));
    return workers.run(info.Env(), std::move(work));
  });
}

}  // namespace eva::napi
