#pragma once

#include <memory>

#include "runtime/backend.h"

namespace eva::cpu {

/// The CPU with this many threads. `instruction_set` is "v2", "v3" or "v4" (the x86-64 levels), or empty for
/// the newest that the processor has; throws device_error for one that it does not have.
std::shared_ptr<backend> open(int threads, const std::string& instruction_set);

}  // namespace eva::cpu
