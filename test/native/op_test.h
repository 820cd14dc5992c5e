#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "cpu/dispatch/backend.h"
#include "ops/all_ops.h"

// For tests of single ops, which fill an op's args by hand and run it with every instruction set that this
// processor supports.
namespace eva::test {

template <class Op, class... Ops> int position_in(ops::op_list<Ops...>) {
  int i = 0;
  (void)((std::is_same_v<Op, Ops> || (++i, false)) || ...);
  return i;
}

template <class Op> std::unique_ptr<kernel> prepare(backend& on, const typename Op::args& args) {
  return on.prepare(position_in<Op>(ops::all_ops{}), &args, lane::compute);
}

template <class Op> void run(backend& on, const typename Op::args& args) { prepare<Op>(on, args)->run(); }

/// Calls body(backend, name) for each instruction set and returns main's exit status.
inline int on_each_instruction_set(int threads,
                                   const std::function<void(backend&, const std::string&)>& body) {
  int sets = 0;
  for (const char* name : {"generic", "v2", "v3", "v4", "v4_bf16"}) {
    std::shared_ptr<backend> on;
    try {
      on = cpu::open(threads, name);
    } catch (const device_error&) {
      continue;
    }
    on->enter_thread();
    body(*on, name);
    ++sets;
  }
  check(sets > 0, "no instruction set was tested");
  return status();
}

/// Host memory of one tensor, of exactly its size, so that a sanitizer detects any access outside.
class buffer {
 public:
  buffer() = default;
  /// Filled with `value`.
  buffer(dtype type, const shape& dims, float value = 0)
      : type_(type), dims_(dims), bytes_(size_t(element_count(dims) * size_of(type))) {
    for (int64_t i = 0; i < size(); ++i) set(i, value);
  }
  /// Normally distributed.
  buffer(dtype type, const shape& dims, std::mt19937& random, float deviation) : buffer(type, dims) {
    std::normal_distribution<float> normal(0, deviation);
    for (int64_t i = 0; i < size(); ++i) set(i, normal(random));
  }
  /// f32 with these values.
  buffer(const shape& dims, const std::vector<float>& values) : buffer(dtype::f32, dims) {
    for (int64_t i = 0; i < size(); ++i) set(i, values[size_t(i)]);
  }

  int64_t size() const { return element_count(dims_); }
  float operator[](int64_t i) const {
    return type_ == dtype::bf16 ? float(reinterpret_cast<const bf16*>(bytes_.data())[i])
                                : reinterpret_cast<const float*>(bytes_.data())[i];
  }
  void set(int64_t i, float value) {
    if (type_ == dtype::bf16)
      reinterpret_cast<bf16*>(bytes_.data())[i] = bf16(value);
    else
      reinterpret_cast<float*>(bytes_.data())[i] = value;
  }
  /// A view that shares the memory.
  operator tensor() { return {type_, dims_, bytes_.data()}; }
  bool operator==(const buffer& other) const { return bytes_ == other.bytes_; }

 private:
  dtype type_ = dtype::f32;
  shape dims_{0};
  std::vector<std::byte> bytes_;
};

inline tensor view(std::vector<int32_t>& values, const shape& dims) {
  return {dtype::i32, dims, values.data()};
}
inline tensor view(std::vector<uint8_t>& values, const shape& dims) {
  return {dtype::u8, dims, values.data()};
}

/// The relative error allowed for a computation in `type`.
inline double tolerance(dtype type) { return type == dtype::f32 ? 2e-6 : 4e-3; }

/// ‖actual - expected‖ / ‖expected‖, or / `least` if the expected norm is smaller.
inline double relative_error(const buffer& actual, const std::vector<double>& expected,
                             double least = 1e-30) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < actual.size(); ++i) {
    const double e = expected[size_t(i)], d = double(actual[i]) - e;
    difference += d * d;
    norm += e * e;
  }
  if (!(difference >= 0) || int64_t(expected.size()) != actual.size()) return INFINITY;
  return std::sqrt(difference) / std::max(least, std::sqrt(norm));
}

}  // namespace eva::test
