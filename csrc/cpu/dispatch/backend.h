#pragma once

#include <memory>

#include "runtime/backend.h"

namespace eva::cpu {

/// The largest number of threads that a device may have: four for each processor, or 64 where that is more.
int64_t most_threads();

/// The CPU with this many threads. Throws argument_error for a number outside 1 … most_threads() and
/// device_error where the system does not grant them. `instruction_set` is "v2", "v3" or "v4" (the x86-64
/// levels), or empty for the newest that the processor has; throws device_error for one that it does not
/// have.
std::shared_ptr<backend> open(int64_t threads, const std::string& instruction_set);

}  // namespace eva::cpu
