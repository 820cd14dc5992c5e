#pragma once

#include <string>

#include "check.h"
#include "core/error.h"

namespace eva::test {

/// Runs `tests(name)` for each instruction set that this processor supports: `probe(name)` throws
/// device_error for the others. Returns the exit status of the program.
template <typename Probe, typename Tests>
int for_each_instruction_set(const Probe& probe, const Tests& tests) {
  int supported = 0;
  for (const char* name : {"generic", "v2", "v3", "v4", "v4_bf16"}) {
    try {
      probe(name);
    } catch (const device_error&) {
      continue;
    }
    ++supported;
    const int before = failures;
    tests(name);
    check(failures == before, std::string("instruction set ") + name);
  }
  check(supported > 0, "no instruction set");
  return status();
}

}  // namespace eva::test
