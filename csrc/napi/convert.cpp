#include "napi/convert.h"

#include <cmath>
#include <cstring>

#include "core/error.h"

namespace eva::napi {
namespace {

double number_from(const Napi::Value& value, const char* what) {
  if (!value.IsNumber()) throw argument_error(std::string(what) + " must be a number");
  return value.As<Napi::Number>().DoubleValue();
}

bool is_non_negative_integer(double number) {
  return number >= 0 && number == std::floor(number) && number <= 9007199254740991.0;
}

value_id id_from(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return no_value;
  return value_id(number_from(value, "a value id"));
}

Napi::Array array_from(const Napi::Value& value, const char* what) {
  if (!value.IsArray()) throw argument_error(std::string(what) + " must be an array");
  return value.As<Napi::Array>();
}

attribute_value attribute_from(const std::string& name, const Napi::Value& value) {
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  if (value.IsNumber()) return value.As<Napi::Number>().DoubleValue();
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  const auto array = array_from(value, ("attribute " + name).c_str());
  std::vector<double> list(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) list[i] = number_from(array.Get(i), name.c_str());
  return list;
}

Napi::Object object_from(const Napi::Value& value, const char* what) {
  if (!value.IsObject()) throw argument_error(std::string(what) + " must be an object");
  return value.As<Napi::Object>();
}

}  // namespace

dtype dtype_from(const Napi::Value& value) {
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  for (dtype type : {dtype::f32, dtype::bf16, dtype::i32, dtype::u8})
    if (name == to_string(type)) return type;
  throw argument_error("dtype must be f32, bf16, i32 or u8" + (name.empty() ? "" : ", got " + name));
}

shape shape_from(const Napi::Value& value) {
  const auto array = array_from(value, "a shape");
  shape dims(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const double dim = number_from(array.Get(i), "a dimension");
    if (!is_non_negative_integer(dim))
      throw shape_error("a dimension must be a non-negative integer, got " + std::to_string(dim));
    dims[i] = int64_t(dim);
  }
  return dims;
}

int64_t non_negative_integer_from(const Napi::Value& value, const char* what) {
  const double number = number_from(value, what);
  if (!is_non_negative_integer(number))
    throw argument_error(std::string(what) + " must be a non-negative integer, got " +
                         std::to_string(number));
  return int64_t(number);
}

operand_map operands_from(const Napi::Value& value) {
  operand_map operands;
  const auto object = object_from(value, "inputs");
  const auto names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>();
    const Napi::Value given = object.Get(name);
    if (given.IsArray())
      operands[name] = ids_from(given);
    else if (const value_id id = id_from(given); id != no_value)
      operands[name] = {id};
  }
  return operands;
}

attribute_map attributes_from(const Napi::Value& value) {
  attribute_map attributes;
  const auto object = object_from(value, "attributes");
  const auto names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>();
    const Napi::Value given = object.Get(name);
    if (!given.IsUndefined()) attributes[name] = attribute_from(name, given);
  }
  return attributes;
}

std::vector<value_id> ids_from(const Napi::Value& value) {
  const auto array = array_from(value, "value ids");
  std::vector<value_id> ids(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) ids[i] = id_from(array.Get(i));
  return ids;
}

Napi::Array to_js(Napi::Env env, const shape& dims) {
  auto array = Napi::Array::New(env, dims.size());
  for (uint32_t i = 0; i < dims.size(); ++i) array.Set(i, double(dims[i]));
  return array;
}

namespace {

/// A typed array's memory, also that of a SharedArrayBuffer, which Napi::TypedArray does not support.
struct array_view {
  std::byte* data = nullptr;
  int64_t bytes = 0;
  bool shared = false;
};

array_view view_of(const Napi::Value& value, int64_t expected, const char* what) {
  if (!value.IsTypedArray()) throw argument_error(std::string(what) + " must be a typed array");
  void* data = nullptr;
  napi_value buffer = nullptr;
  bool is_array_buffer = false;
  if (napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, &buffer, nullptr) != napi_ok ||
      napi_is_arraybuffer(value.Env(), buffer, &is_array_buffer) != napi_ok)
    throw argument_error(std::string(what) + " is an unsupported kind of typed array");
  const auto bytes = int64_t(value.As<Napi::TypedArray>().ByteLength());
  if (bytes != expected)
    throw argument_error(
        std::string(what) + " must hold " + std::to_string(expected) + " bytes, got " + std::to_string(bytes),
        {{"field", what}, {"expected", std::to_string(expected)}, {"actual", std::to_string(bytes)}});
  return {static_cast<std::byte*>(data), bytes, !is_array_buffer};
}

}  // namespace

std::byte* bytes_of(const Napi::Value& value, int64_t expected, const char* what) {
  return view_of(value, expected, what).data;
}

std::shared_ptr<const std::byte> input_from(const Napi::Value& value, int64_t expected, const char* what,
                                            input_memory& memory, task& reader) {
  const array_view view = view_of(value, expected, what);
  if (view.shared) {
    reader.pinned.push_back(Napi::Persistent(value.As<Napi::Object>()));
    return {std::shared_ptr<void>(), view.data};
  }
  const auto copy = memory.take(size_t(view.bytes));
  if (view.bytes > 0) std::memcpy(copy.get(), view.data, size_t(view.bytes));
  return {copy, copy.get()};
}

}  // namespace eva::napi
