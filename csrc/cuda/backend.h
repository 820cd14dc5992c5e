#pragma once

#include <memory>

#include "runtime/backend.h"

namespace eva::cuda {

/// Opens the first GPU (CUDA_VISIBLE_DEVICES selects which one that is). Throws device_error, with what was
/// needed and what was found, if there is none that this library supports.
std::unique_ptr<backend> open();

}  // namespace eva::cuda
