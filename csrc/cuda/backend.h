#pragma once

#include <memory>

#include "runtime/backend.h"

namespace eva::cuda {

/// Opens a GPU, numbered from 0 among those that CUDA_VISIBLE_DEVICES shows. Throws device_error, with what
/// was needed and what was found, if there is none that this library supports.
std::unique_ptr<backend> open(int index = 0);

}  // namespace eva::cuda
