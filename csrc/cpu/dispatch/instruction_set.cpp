#include "cpu/dispatch/instruction_set.h"

#include <vector>

#include "core/error.h"

namespace eva::cpu {

// Entry points of each instruction set of this build.
#if defined(__x86_64__)
namespace v2 {
extern const variant functions;
}
namespace v3 {
extern const variant functions;
}
namespace v4 {
extern const variant functions;
}
namespace v4_bf16 {
extern const variant functions;
}
#else
namespace generic {
extern const variant functions;
}
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
  return {{v2::functions, "v2", bool(__builtin_cpu_supports("sse4.2"))},
          {v3::functions, "v3", v3},
          {v4::functions, "v4", v4},
          {v4_bf16::functions, "v4_bf16", v4 && __builtin_cpu_supports("avx512bf16")}};
#else
  return {{generic::functions, "generic", true}};
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

const pixel_filter& pixel_filter_of(const std::string& instruction_set) {
  return choose(instruction_set).pixel_filters();
}

nearest_rows_run nearest_rows(const std::string& instruction_set) {
  return choose(instruction_set).nearest_rows;
}

}  // namespace eva::cpu
