#pragma once

namespace eva::napi {

/// Takes back what was set in the environment for OpenMP, once that has read it, so that child processes do
/// not inherit it.
void forget_openmp_spinning();

}  // namespace eva::napi
