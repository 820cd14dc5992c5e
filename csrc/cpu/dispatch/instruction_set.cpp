#include "cpu/dispatch/instruction_set.h"

#include <vector>

#include "core/error.h"

namespace eva::cpu {

// Entry points of each instruction set of this build.
#if defined(__x86_64__)
namespace v2 {
kernel_table kernels();
convert_run conversion(stored_dtype from, stored_dtype to);
std::vector<std::vector<neighbor>> nearest_rows(const nearest_args&, const context&);
}  // namespace v2
namespace v3 {
kernel_table kernels();
convert_run conversion(stored_dtype from, stored_dtype to);
std::vector<std::vector<neighbor>> nearest_rows(const nearest_args&, const context&);
}  // namespace v3
namespace v4 {
kernel_table kernels();
convert_run conversion(stored_dtype from, stored_dtype to);
std::vector<std::vector<neighbor>> nearest_rows(const nearest_args&, const context&);
}  // namespace v4
#else
namespace generic {
kernel_table kernels();
convert_run conversion(stored_dtype from, stored_dtype to);
std::vector<std::vector<neighbor>> nearest_rows(const nearest_args&, const context&);
}  // namespace generic
#endif

namespace {

/// From the oldest to the newest.
std::vector<instruction_set> instruction_sets() {
#if defined(__x86_64__)
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512cd");
  return {{"v2", bool(__builtin_cpu_supports("sse4.2")), v2::kernels, v2::conversion, v2::nearest_rows},
          {"v3", v3, v3::kernels, v3::conversion, v3::nearest_rows},
          {"v4", v4, v4::kernels, v4::conversion, v4::nearest_rows}};
#else
  return {{"generic", true, generic::kernels, generic::conversion, generic::nearest_rows}};
#endif
}

}  // namespace

const instruction_set& choose(const std::string& name) {
  static const auto sets = instruction_sets();
  for (auto set = sets.rbegin(); set != sets.rend(); ++set)
    if (set->available && (name.empty() || set->name == name)) return *set;
  std::string available;
  for (const auto& set : sets)
    if (set.available) available += (available.empty() ? "" : ", ") + set.name;
  throw device_error(
      "the processor does not support " +
      (name.empty() ? "x86-64-v2 (SSE 4.2)"
                    : "instruction set " + name + ", only " + (available.empty() ? "none" : available)));
}

convert_run conversion(stored_dtype from, stored_dtype to, const std::string& instruction_set) {
  return choose(instruction_set).conversion(from, to);
}

nearest_rows_run nearest_rows(const std::string& instruction_set) {
  return choose(instruction_set).nearest_rows;
}

}  // namespace eva::cpu
