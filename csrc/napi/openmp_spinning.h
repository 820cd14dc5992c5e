#pragma once

namespace eva::napi {

/// Unsets the environment variable that was set for OpenMP, once libgomp has read it, so that child processes
/// do not inherit it.
void unset_openmp_spinning();

}  // namespace eva::napi
