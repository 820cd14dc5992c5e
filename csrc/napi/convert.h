#pragma once

#include <napi.h>

#include "graph/graph.h"
#include "napi/task.h"

namespace eva::napi {

// Conversions between JavaScript and C++ values. All throw argument_error for a value of the wrong kind.

dtype dtype_from(const Napi::Value& value);
shape shape_from(const Napi::Value& value);
/// A non-negative safe integer.
int64_t non_negative_integer_from(const Napi::Value& value, const char* what);
operand_map operands_from(const Napi::Value& value);
attribute_map attributes_from(const Napi::Value& value);
std::vector<value_id> ids_from(const Napi::Value& value);

Napi::Array to_js(Napi::Env env, const shape& dims);

/// The bytes of a typed array, checked against a size.
std::byte* bytes_of(const Napi::Value& value, int64_t expected, const char* what);

/// The same for a task that reads them later: a copy in `memory`, because an ArrayBuffer can be detached or
/// shrunk meanwhile. A SharedArrayBuffer can be neither, so it is read in place.
std::shared_ptr<const std::byte> input_from(const Napi::Value& value, int64_t expected, const char* what,
                                            input_memory& memory, task& reader);

}  // namespace eva::napi
