#pragma once

#include <string>

#include "cpu/dispatch/convert_elements.h"
#include "cpu/dispatch/nearest_rows.h"
#include "cpu/table.h"

namespace eva::cpu {

/// The code compiled for one instruction set.
struct instruction_set {
  std::string name;
  bool available;
  kernel_table (*kernels)();
  convert_run (*conversion)(stored_dtype from, stored_dtype to);
  nearest_rows_run nearest_rows;
};

/// The newest available one, or the one of this name; throws device_error if the processor does not support
/// it.
const instruction_set& choose(const std::string& name);

}  // namespace eva::cpu
