#pragma once

#include <array>
#include <string>
#include <string_view>
#include <tuple>

#include "core/error.h"
#include "core/tensor.h"

namespace eva::ops {

// An op is a struct with a name, an `args` struct, a `fields` tuple that declares the kind of each member of
// `args`, and `infer`, which checks the inputs and sets the types of outputs and scratch. It is the op's only
// declaration: the JavaScript interface, the graph, the memory plan, the backends and the tests read it. It
// may have `flops`, which counts its floating-point operations, and `runs_on`, its lane (core/lane.h).

template <class A> struct input {
  const char* name;
  tensor A::*member;
};

/// May be left out; the tensor is then not `present()`.
template <class A> struct optional_input {
  const char* name;
  tensor A::*member;
};

/// A list of tensors of any length; entries may be absent.
template <class A> struct input_list {
  const char* name;
  tensors A::*member;
};

/// Written by the op. `data` is null if the output is unread, and the kernel then skips the work. An output
/// that is computed `from` another one has that one written, too.
template <class A> struct output {
  const char* name;
  tensor A::*member;
  tensor A::*from = nullptr;
};

/// Parameters that the op updates in place; entries may be absent.
template <class A> struct inout_list {
  const char* name;
  tensors A::*member;
};

/// Workspace of the kernel, valid while it runs.
template <class A> struct scratch {
  const char* name;
  tensor A::*member;
};

/// A number, a boolean, a list of numbers or one of an enum's names; fixed when the op is recorded.
template <class A, class T> struct attribute {
  const char* name;
  T A::*member;
};

template <class A> input(const char*, tensor A::*) -> input<A>;
template <class A> optional_input(const char*, tensor A::*) -> optional_input<A>;
template <class A> input_list(const char*, tensors A::*) -> input_list<A>;
template <class A> output(const char*, tensor A::*) -> output<A>;
template <class A> output(const char*, tensor A::*, tensor A::*) -> output<A>;
template <class A> inout_list(const char*, tensors A::*) -> inout_list<A>;
template <class A> scratch(const char*, tensor A::*) -> scratch<A>;
template <class A, class T> attribute(const char*, T A::*) -> attribute<A, T>;

/// The names of an enum attribute's values, in order. Specialized next to each such enum.
template <class Enum> inline constexpr std::array<std::string_view, 0> enum_names{};

template <>
inline constexpr std::array<std::string_view, 5> enum_names<dtype>{"none", "f32", "bf16", "i32", "u8"};

/// Calls `visit` with each field of `Op`, in declaration order.
template <class Op, class Visitor> void for_each_field(Visitor&& visit) {
  std::apply([&](const auto&... field) { (visit(field), ...); }, Op::fields);
}

[[noreturn]] inline void fail_shape(const char* op, const char* field, const std::string& expected,
                                    const tensor& actual) {
  const std::string got = std::string(to_string(actual.type)) + " " + to_string(actual.dims);
  throw shape_error(std::string(op) + ": " + field + " must be " + expected + ", got " + got,
                    {{"op", op}, {"field", field}, {"expected", expected}, {"actual", got}});
}

/// Throws shape_error("layer_norm: weight must be [768], got f32 [512]") unless the shapes are equal.
inline void expect_shape(const char* op, const char* field, const tensor& t, const shape& expected) {
  if (t.dims != expected) fail_shape(op, field, to_string(expected), t);
}

/// Like expect_shape, but only compares the number of elements: a [1, 1, C] class token is a [C] vector.
inline void expect_size(const char* op, const char* field, const tensor& t, int64_t expected) {
  if (t.size() != expected) fail_shape(op, field, std::to_string(expected) + " elements", t);
}

inline void expect_type(const char* op, const char* field, const tensor& t, dtype expected) {
  if (t.type != expected) fail_shape(op, field, std::string(to_string(expected)), t);
}

/// Checks both type and shape.
inline void expect(const char* op, const char* field, const tensor& t, dtype type, const shape& dims) {
  if (t.type != type || t.dims != dims)
    fail_shape(op, field, std::string(to_string(type)) + " " + to_string(dims), t);
}

/// Checks both type and shape if the tensor is present.
inline void expect_if_present(const char* op, const char* field, const tensor& t, dtype type,
                              const shape& dims) {
  if (t.present()) expect(op, field, t, type, dims);
}

inline void expect_float(const char* op, const char* field, const tensor& t) {
  if (!is_float(t.type)) fail_shape(op, field, "f32 or bf16", t);
}

inline void expect_rank(const char* op, const char* field, const tensor& t, int64_t minimum,
                        int64_t maximum) {
  if (t.rank() < minimum || t.rank() > maximum)
    fail_shape(op, field,
               minimum == maximum
                   ? std::to_string(minimum) + "-dimensional"
                   : std::to_string(minimum) + " to " + std::to_string(maximum) + "-dimensional",
               t);
}

inline void expect(bool condition, const char* op, const std::string& requirement) {
  if (!condition) throw argument_error(std::string(op) + ": " + requirement, {{"op", op}});
}

}  // namespace eva::ops
