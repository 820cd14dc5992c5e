#pragma once

#include <string>

namespace eva::cuda {

/// "13.0" for 13000, as CUDA numbers its versions.
std::string cuda_version(int version);

/// Throws device_error if this GPU cannot be used.
void expect_usable(int index);

}  // namespace eva::cuda
