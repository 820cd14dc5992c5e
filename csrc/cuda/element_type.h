#pragma once

#include "core/dtype.h"
#include "cuda/device/bf16.cuh"

namespace eva::cuda {

/// Calls body with a null pointer to the element type of an f32 or bf16 tensor.
template <class Body> void for_element_type(dtype type, const Body& body) {
  type == dtype::f32 ? body(static_cast<float*>(nullptr)) : body(static_cast<device::bf16*>(nullptr));
}

}  // namespace eva::cuda
