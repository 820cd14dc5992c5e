#pragma once

#include <memory>

#include "runtime/backend.h"

namespace eva::cuda {

/// The first GPU (CUDA_VISIBLE_DEVICES chooses which one that is). Throws device_error, with what was needed
/// and what was found, where there is none that this library can use.
std::unique_ptr<backend> open();

}  // namespace eva::cuda
