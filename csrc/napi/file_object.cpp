#include "napi/file_object.h"

#include "cpu/dispatch/convert_elements.h"
#include "napi/convert.h"
#include "napi/environment.h"

namespace eva::napi {

stored_dtype stored_dtype_from(const Napi::Value& value) {
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (name == "F64") return stored_dtype::f64;
  if (name == "F32") return stored_dtype::f32;
  if (name == "F16") return stored_dtype::f16;
  if (name == "BF16") return stored_dtype::bf16;
  throw argument_error("a stored dtype must be F64, F32, F16 or BF16" +
                       (name.empty() ? "" : ", got " + name));
}

namespace {

stored_dtype stored_dtype_of(dtype type) {
  if (type == dtype::f32) return stored_dtype::f32;
  if (type == dtype::bf16) return stored_dtype::bf16;
  throw argument_error("only f32 and bf16 parameters can be loaded from files, not " +
                       std::string(to_string(type)));
}

io::stored_tensor stored_tensor_from(const Napi::Value& value) {
  if (!value.IsObject()) throw argument_error("a stored tensor must be an object");
  const auto object = value.As<Napi::Object>();
  const auto* file =
      unwrap<file_object>(object.Get("file"), environment::of(value.Env()).file_class, "a MappedFile");
  return {file->native(), stored_dtype_from(object.Get("dtype")),
          non_negative_integer_from(object.Get("offset"), "an offset"), shape_from(object.Get("shape")),
          shape_from(object.Get("strides"))};
}

/// The bytes of a typed array.
struct byte_span {
  std::byte* data;
  int64_t bytes;
};

byte_span span_from(const Napi::Value& value, const char* what) {
  if (!value.IsTypedArray()) throw argument_error(std::string(what) + " must be a typed array");
  const auto bytes = int64_t(value.As<Napi::TypedArray>().ByteLength());
  return {bytes_of(value, bytes, what), bytes};
}

}  // namespace

Napi::Function file_object::define(Napi::Env env) {
  return DefineClass(
      env, "NativeMappedFile",
      {InstanceAccessor<&file_object::size>("size"), InstanceMethod<&file_object::read_bytes>("readBytes"),
       InstanceMethod<&file_object::read>("read"), InstanceMethod<&file_object::close>("close")});
}

file_object::file_object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<file_object>(info) {
  guard(info.Env(), [&] {
    if (!info[0].IsString()) throw argument_error("a path must be a string");
    file_ = std::make_shared<const mapped_file>(info[0].As<Napi::String>().Utf8Value());
    size_ = file_->size();
  });
}

const std::shared_ptr<const mapped_file>& file_object::native() const {
  if (!file_) throw disposed_error("the file");
  return file_;
}

Napi::Value file_object::size(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] { return Napi::Number::New(info.Env(), double(size_)); });
}

// (begin, Uint8Array)
void file_object::read_bytes(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const auto file = native();
    const int64_t begin = non_negative_integer_from(info[0], "begin");
    const byte_span into = span_from(info[1], "into");
    if (begin > size_ - into.bytes)
      throw argument_error(std::to_string(into.bytes) + " bytes at offset " + std::to_string(begin) +
                           " exceed the " + std::to_string(size_) + " bytes of " + file->path());
    file->read(begin, begin + into.bytes, into.data);
  });
}

// (view, first, Float32Array): reads part of a tensor synchronously. Callers keep the parts small, because
// this blocks the event loop.
void file_object::read(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const byte_span into = span_from(info[2], "into");
    stored_tensor_from(info[0]).copy(non_negative_integer_from(info[1], "first"),
                                     into.bytes / int64_t(sizeof(float)), stored_dtype::f32, into.data);
  });
}

std::vector<piece> pieces_from(const Napi::Value& value, const parameter& to) {
  if (!value.IsArray()) throw argument_error("pieces must be an array");
  stored_dtype_of(to.type());
  const auto array = value.As<Napi::Array>();
  std::vector<piece> pieces;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value given = array.Get(i);
    auto from = stored_tensor_from(given);
    const int64_t at = non_negative_integer_from(given.As<Napi::Object>().Get("at"), "at");
    if (at > to.size() - from.size())
      throw argument_error(
          "a piece of " + std::to_string(from.size()) + " elements at element " + std::to_string(at) +
              " exceeds a parameter of shape " + to_string(to.dims()),
          {{"expected", std::to_string(to.size())}, {"actual", std::to_string(at + from.size())}});
    pieces.push_back({std::move(from), at});
  }
  return pieces;
}

void load(const std::vector<piece>& pieces, const parameter& to) {
  const stored_dtype type = stored_dtype_of(to.type());
  for (const auto& [from, at] : pieces) from.check_file();
  for (const piece& each : pieces)
    to.fill(each.at, each.from.size(), [&](int64_t begin, int64_t end, std::byte* elements) {
      if (to.owner()->thread().cancelled()) throw disposed_error("the device");
      each.from.copy(begin, end - begin, type, elements);
    });
}

void convert_elements(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const byte_span from = span_from(info[0], "from"), to = span_from(info[2], "to");
    const auto from_type = stored_dtype_from(info[1]), to_type = stored_dtype_from(info[3]);
    const int64_t count = from.bytes / size_of(from_type);
    if (count * size_of(from_type) != from.bytes || count * size_of(to_type) != to.bytes)
      throw argument_error("the two arrays must have the same number of elements");
    const cpu::convert_run convert = cpu::conversion(from_type, to_type);
    if (count > 0) convert(from.data, size_of(from_type), count, to.data);
  });
}

}  // namespace eva::napi
