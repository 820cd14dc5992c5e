#pragma once

#include <memory>

#include "runtime/backend.h"

namespace eva::cpu {

/// The maximum number of threads of a device: four per processor, but at least 64.
int64_t max_threads();

/// Opens the CPU with this many threads. Throws argument_error for a number outside 1 … max_threads(), and
/// device_error if they cannot be started. `instruction_set` is "v2", "v3", "v4" (the x86-64 levels) or
/// "v4_bf16" (v4 with AVX512_BF16), or empty for the newest that the processor supports; throws device_error
/// for an unsupported one.
std::shared_ptr<backend> open(int64_t threads, const std::string& instruction_set);

}  // namespace eva::cpu
