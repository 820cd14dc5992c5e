#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "../op_test.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/runtime.h"
#include "cuda/kernel.h"

// Shared by the tests of CUDA kernels: runs an op with the same arguments on the CPU backend and with the
// CUDA kernel (emulated, or on a GPU if the tests are built for one), and compares the results.
namespace eva::test {

/// Tolerances, relative to the norm of the CPU's result; integers must be equal.
struct comparison {
  double f32 = 1e-5, bf16 = 4e-3;
  /// The largest ratio of the bf16 result's error to that of the CPU's bf16 result; both errors are relative
  /// to f32.
  double inexactness = 1.1;
  std::set<std::string> unread{};       // outputs that are not read
  std::set<std::string> unspecified{};  // outputs whose values are unspecified
  // The magnitude of an output's terms, where they cancel: the least value that its error is relative to.
  std::map<std::string, double> terms{};

  double least(const std::string& output) const {
    const auto found = terms.find(output);
    return found == terms.end() ? 1e-30 : found->second;
  }
};

/// Whether bf16 inputs are kept or converted to f32.
enum class precision { as_given, widened_to_f32 };

/// An op's args with tensors in their own memory of exactly their size: copies of what the op reads or
/// updates, NaN in what it writes.
template <class Op> class owned_args {
 public:
  using args = typename Op::args;

  owned_args(const args& from, const std::set<std::string>& unread, precision p = precision::as_given)
      : all(from), precision_(p) {
    ops::for_each_field<Op>([&](const auto& field) { own_read(field); });
    Op::infer(all);
    ops::for_each_field<Op>([&](const auto& field) { own_written(field, unread); });
  }
  owned_args(const owned_args&) = delete;

  args all;

  /// Checks the accesses to the tensors, if they are small: what the op writes is uninitialized.
  void watch() const {
    size_t bytes = 0;
    for (const auto& each : memory_) bytes += each.size();
    if (bytes > most_watched_bytes) return;
    for (size_t i = 0; i < memory_.size(); ++i)
      cuda::device::watch(memory_[i].data(), memory_[i].size(), element_bytes_[i], initialized_[i]);
  }

 private:
  static constexpr size_t most_watched_bytes = 1 << 18;

  void own_tensor(tensor& t, bool copies) {
    if (!t.present()) return;
    auto& memory = memory_.emplace_back(size_t(t.bytes()), std::byte{0xff});
    element_bytes_.push_back(size_t(size_of(t.type)));
    initialized_.push_back(copies);
    if (copies && t.bytes() > 0) std::memcpy(memory.data(), t.data, size_t(t.bytes()));
    // Not null, even if the tensor is empty.
    t.data = memory.empty() ? static_cast<void*>(&memory_) : memory.data();
  }
  void own_input(tensor& t) {
    if (precision_ == precision::as_given || t.type != dtype::bf16) return own_tensor(t, true);
    const tensor narrow = t;
    t.type = dtype::f32;
    own_tensor(t, false);
    initialized_.back() = true;
    for (int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] = float(narrow.as<const bf16>()[i]);
  }

  void own_read(const ops::input<args>& field) { own_input(all.*field.member); }
  void own_read(const ops::optional_input<args>& field) { own_input(all.*field.member); }
  void own_read(const ops::input_list<args>& field) {
    for (tensor& t : all.*field.member) own_input(t);
  }
  void own_read(const ops::inout_list<args>& field) {
    for (tensor& t : all.*field.member) own_tensor(t, true);
  }
  template <class Field> void own_read(const Field&) {}

  void own_written(const ops::output<args>& field, const std::set<std::string>& unread) {
    (all.*field.member).data = nullptr;
    // A program never reads an output without the one that it is computed from.
    const bool needs_unread = field.from && (all.*field.from).data == nullptr;
    if (!unread.contains(field.name) && !needs_unread) own_tensor(all.*field.member, false);
  }
  void own_written(const ops::scratch<args>& field, const std::set<std::string>&) {
    own_tensor(all.*field.member, false);
  }
  template <class Field> void own_written(const Field&, const std::set<std::string>&) {}

  precision precision_;
  std::vector<cuda::device::vector<std::byte>> memory_;
  std::vector<size_t> element_bytes_;
  std::vector<bool> initialized_;  // whether the op may read it before it writes it
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

/// ‖actual - expected‖ / max(‖expected‖, least); infinite if only one of them is NaN or infinite.
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

/// Runs the op's CUDA kernel twice, the second time as a captured graph and, emulated, with threads and
/// blocks in reverse order: the results must be equal bit by bit.
template <class Op> void run_twice(owned_args<Op>& first, owned_args<Op>& second, const std::string& what) {
  for (auto* args : {&first, &second}) {
    cuda::device::reverse_order(args == &second);
    cuda::plan<Op> plan(args->all, device_context());
    if constexpr (requires { plan.refresh(device_context()); }) plan.refresh(device_context());
    const cuda::device::stream stream = device_context().stream;
    if (args == &first) {
      first.watch();
      plan.run(device_context());
    } else {
      cuda::device::recording::of(stream, [&] { plan.run(device_context()); }).replay(stream);
    }
    cuda::device::synchronize(stream);
    cuda::device::end_watch();
    check(cuda::device::ldmatrix_bank_conflicts() == 0, what + ": bank conflicts of ldmatrix");
  }
  const auto one = results_of<Op>(first.all), two = results_of<Op>(second.all);
  for (size_t i = 0; i < one.size(); ++i)
    check(one[i].second.bytes() == 0 ||
              std::memcmp(one[i].second.data, two[i].second.data, size_t(one[i].second.bytes())) == 0,
          what + ": " + one[i].first + " has different bits in the second run");
}

inline void check_error(double error, double limit, const std::string& what) {
  char text[40];
  std::snprintf(text, sizeof text, " is %.3g, limit %.3g", error, limit);
  check(error <= limit, what + text);
}

/// Compares the errors of both backends' bf16 results, relative to what the CPU computes in f32 from the same
/// inputs.
template <class Op>
void check_exactness(const typename Op::args& args, const owned_args<Op>& on_cpu,
                     const owned_args<Op>& on_cuda, const std::string& what, const comparison& within) {
  const auto cpu = results_of<Op>(on_cpu.all), cuda = results_of<Op>(on_cuda.all);
  const auto is_narrow = [](const auto& result) { return result.second.type == dtype::bf16; };
  if (std::none_of(cpu.begin(), cpu.end(), is_narrow)) return;
  owned_args<Op> wide(args, within.unread, precision::widened_to_f32);
  run<Op>(reference_backend(), wide.all);
  const auto exact = results_of<Op>(wide.all);
  for (size_t i = 0; i < exact.size(); ++i) {
    const auto& [name, truth] = exact[i];
    if (!is_narrow(cpu[i]) || truth.type != dtype::f32 || within.unspecified.contains(name)) continue;
    const double least = within.least(name);
    check_error(distance(cuda[i].second, truth, least),
                within.inexactness * distance(cpu[i].second, truth, least) + 1e-6,
                what + ": the distance of " + name + " from f32");
  }
}

/// Runs an op on both backends and compares the outputs; `args` holds the inputs and attributes.
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
      check_error(distance(result, reference, within.least(name)),
                  reference.type == dtype::f32 ? within.f32 : within.bf16,
                  what + ": the distance of " + name);
    } else {
      check(std::memcmp(result.data, reference.data, size_t(reference.bytes())) == 0,
            what + ": " + name + " differs");
    }
  }
  check_exactness<Op>(args, expected, actual, what, within);
}

}  // namespace eva::test
