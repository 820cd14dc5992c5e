#pragma once

#include <cstddef>
#include <string>

#include "core/float_format.h"

namespace eva::cpu {

/// Converts `count` elements, `stride` bytes apart from `from` on, to a dense range. Memory may be unaligned.
using convert_run = void (*)(const std::byte* from, int64_t stride, int64_t count, std::byte* to);

/// The conversion for an instruction set, named as for open; all give the same bits. Throws argument_error
/// for an unsupported conversion: only f64 converts to f64.
convert_run conversion(stored_dtype from, stored_dtype to, const std::string& instruction_set = "");

}  // namespace eva::cpu
