#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "../op_test.h"
#include "cuda/device/runtime.cuh"
#include "cuda/kernel.h"

// What the tests of CUDA kernels share: the same arguments go through the CPU backend and through the CUDA
// kernel (emulated, or on a GPU where the tests are built for one), and the results are compared.
namespace eva::test {

/// How far results may lie apart, relative to the norm of the CPU's; integers must be equal.
struct comparison {
  double f32 = 1e-5, bf16 = 4e-3;
  std::set<std::string> unread{};       // outputs that nobody reads
  std::set<std::string> unspecified{};  // outputs that hold nothing of meaning
  // The size of the terms that an output is the sum of, where they cancel: errors are relative to that, at
  // least.
  std::map<std::string, double> terms{};

  double least(const std::string& output) const {
    const auto found = terms.find(output);
    return found == terms.end() ? 1e-30 : found->second;
  }
};

/// An op's args whose tensors lie in memory of their own, exactly as large as they are: copies of what the op
/// reads or updates, NaN in what it writes.
template <class Op> class owned_args {
 public:
  using args = typename Op::args;

  owned_args(const args& from, const std::set<std::string>& unread) : all(from) {
    Op::infer(all);
    ops::for_each_field<Op>([&](const auto& field) { own(field, unread); });
  }
  owned_args(const owned_args&) = delete;

  args all;

 private:
  void own_tensor(tensor& t, bool copies) {
    if (!t.present()) return;
    auto& memory = memory_.emplace_back(size_t(t.bytes()), std::byte{0xff});
    if (copies && t.bytes() > 0) std::memcpy(memory.data(), t.data, size_t(t.bytes()));
    // Not null even when the tensor is empty.
    t.data = memory.empty() ? static_cast<void*>(&memory_) : memory.data();
  }

  using unread_set = std::set<std::string>;
  void own(const ops::input<args>& field, const unread_set&) { own_tensor(all.*field.member, true); }
  void own(const ops::optional_input<args>& field, const unread_set&) { own_tensor(all.*field.member, true); }
  void own(const ops::input_list<args>& field, const unread_set&) {
    for (tensor& t : all.*field.member) own_tensor(t, true);
  }
  void own(const ops::inout_list<args>& field, const unread_set&) {
    for (tensor& t : all.*field.member) own_tensor(t, true);
  }
  void own(const ops::output<args>& field, const unread_set& unread) {
    (all.*field.member).data = nullptr;
    if (!unread.contains(field.name)) own_tensor(all.*field.member, false);
  }
  void own(const ops::scratch<args>& field, const unread_set&) { own_tensor(all.*field.member, false); }
  template <class T> void own(const ops::attribute<args, T>&, const unread_set&) {}

  std::vector<cuda::device::vector<std::byte>> memory_;
};

/// The tensors that an op writes or updates, with their names.
template <class Op> std::vector<std::pair<std::string, tensor>> results_of(const typename Op::args& a) {
  using args = typename Op::args;
  std::vector<std::pair<std::string, tensor>> results;
  ops::for_each_field<Op>([&]<class Field>(const Field& field) {
    if constexpr (std::is_same_v<Field, ops::output<args>>) {
      if ((a.*field.member).data) results.emplace_back(field.name, a.*field.member);
    } else if constexpr (std::is_same_v<Field, ops::inout_list<args>>) {
      for (const tensor& t : a.*field.member)
        results.emplace_back(
            std::string(field.name) + "[" + std::to_string(&t - (a.*field.member).data()) + "]", t);
    }
  });
  return results;
}

inline double float_at(const tensor& t, int64_t i) {
  return t.type == dtype::f32 ? double(t.as<float>()[i]) : double(float(t.as<bf16>()[i]));
}

/// ‖actual - expected‖ / ‖expected‖, or / `least` where the expected is smaller; infinite where one is NaN or
/// infinite and the other is not.
inline double distance(const tensor& actual, const tensor& expected, double least = 1e-30) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < expected.size(); ++i) {
    const double e = float_at(expected, i), a = float_at(actual, i);
    if ((std::isnan(e) && std::isnan(a)) || (std::isinf(e) && a == e)) continue;
    difference += (a - e) * (a - e);
    norm += e * e;
  }
  if (!(difference >= 0)) return INFINITY;
  return std::sqrt(difference) / std::max(least, std::sqrt(norm));
}

inline backend& reference_backend() {
  static const std::shared_ptr<backend> on = [] {
    auto opened = cpu::open(2, "");
    opened->enter_thread();
    return opened;
  }();
  return *on;
}

inline cuda::context& device_context() {
  static cuda::context on{.stream = cuda::device::make_stream(),
                          .properties = cuda::device::current_properties()};
  return on;
}

/// Runs the op's CUDA kernel twice, the second time as a program replays it, recorded before, and emulated in
/// the other order of threads and blocks: nothing may change.
template <class Op> void run_twice(owned_args<Op>& first, owned_args<Op>& second, const std::string& what) {
  for (auto* args : {&first, &second}) {
    cuda::device::reverse_order(args == &second);
    cuda::plan<Op> plan(args->all, device_context());
    const cuda::device::stream stream = device_context().stream;
    if (args == &first)
      plan.run(device_context());
    else
      cuda::device::recording::of(stream, [&] { plan.run(device_context()); }).replay(stream);
    cuda::device::synchronize(stream);
    check(cuda::device::matrix_bank_conflicts() == 0, what + ": bank conflicts in matrix loads");
  }
  const auto one = results_of<Op>(first.all), two = results_of<Op>(second.all);
  for (size_t i = 0; i < one.size(); ++i)
    check(one[i].second.bytes() == 0 ||
              std::memcmp(one[i].second.data, two[i].second.data, size_t(one[i].second.bytes())) == 0,
          what + ": " + one[i].first + " has other bits when it runs again");
}

/// Fills in the op's outputs and runs it on both backends; `args` holds the inputs and attributes.
template <class Op>
void agree(const typename Op::args& args, const std::string& what, const comparison& within = {}) {
  owned_args<Op> expected(args, within.unread), actual(args, within.unread), again(args, within.unread);
  run<Op>(reference_backend(), expected.all);
  run_twice<Op>(actual, again, what);
  const auto should = results_of<Op>(expected.all), is = results_of<Op>(actual.all);
  for (size_t i = 0; i < should.size(); ++i) {
    const auto& [name, reference] = should[i];
    const tensor& result = is[i].second;
    if (within.unspecified.contains(name) || reference.bytes() == 0) continue;
    if (is_float(reference.type)) {
      const double apart = distance(result, reference, within.least(name));
      char error[40];
      std::snprintf(error, sizeof error, " is %.2g off", apart);
      check(apart <= (reference.type == dtype::f32 ? within.f32 : within.bf16), what + ": " + name + error);
    } else {
      check(std::memcmp(result.data, reference.data, size_t(reference.bytes())) == 0,
            what + ": " + name + " differs");
    }
  }
}

/// main's exit status.
inline int status() { return failures == 0 ? 0 : 1; }

}  // namespace eva::test
