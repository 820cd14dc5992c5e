#pragma once

#include <memory>
#include <string>

#include "cpu/dispatch/convert_elements.h"
#include "cpu/dispatch/filter_pixels.h"
#include "cpu/dispatch/nearest_rows.h"
#include "cpu/gemm/gemm_spec.h"
#include "cpu/table.h"

namespace eva::cpu {

/// What is compiled once for each instruction set, by csrc/cpu/variant.cpp.
struct variant {
  kernel_table (*kernels)();
  convert_run (*conversion)(stored_dtype from, stored_dtype to);
  nearest_rows_run nearest_rows;
  const pixel_filter& (*pixel_filters)();
  std::unique_ptr<prepared_gemm> (*prepare_gemm)(const gemm_spec&);
};

/// The code compiled for one instruction set.
struct instruction_set : variant {
  std::string name;
  bool available;
};

/// The newest available one, or the one of this name; throws device_error if the processor does not support
/// it.
const instruction_set& choose(const std::string& name);

}  // namespace eva::cpu
