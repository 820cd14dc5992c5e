#pragma once

#include "core/dtype.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// Calls body with a null pointer to the C++ type of f32 or bf16.
template <class Body> void for_element_type(dtype type, const Body& body) {
  type == dtype::f32 ? body(static_cast<float*>(nullptr)) : body(static_cast<bf16*>(nullptr));
}

/// The same for two tensors.
template <class Body> void for_element_types(dtype first, dtype second, const Body& body) {
  for_element_type(first,
                   [&]<class A>(A* a) { for_element_type(second, [&]<class B>(B* b) { body(a, b); }); });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
