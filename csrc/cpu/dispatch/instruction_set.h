#pragma once

#include <string>

#include "cpu/dispatch/convert_elements.h"
#include "cpu/table.h"

namespace eva::cpu {

/// The code that was compiled for one level of the processor.
struct instruction_set {
  std::string name;
  bool available;
  kernel_table (*kernels)();
  convert_run (*conversion)(stored_dtype from, stored_dtype to);
};

/// The newest available one, or the one of this name; throws device_error when the processor does not have
/// it.
const instruction_set& choose(const std::string& name);

}  // namespace eva::cpu
