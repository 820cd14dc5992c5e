#pragma once

#include <cstddef>
#include <string>

#include "core/float_format.h"

namespace eva::cpu {

/// Converts `count` elements, which lie `stride` bytes apart from `from` on, into a dense range. No alignment
/// is needed.
using convert_run = void (*)(const std::byte* from, int64_t stride, int64_t count, std::byte* to);

/// In the code of an instruction set, as for open; all give the same bits. Throws argument_error when there
/// is no conversion: nothing becomes f64 but f64.
convert_run conversion(stored_dtype from, stored_dtype to, const std::string& instruction_set = "");

}  // namespace eva::cpu
