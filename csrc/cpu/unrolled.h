#pragma once

#include <type_traits>
#include <utility>

namespace eva::cpu::EVA_CLIP_ISA {

/// Calls body(0), …, body(Count - 1) with constants: GCC 12 would keep the accumulators of a loop in memory,
/// or move them there at its end.
template <int Count, class Body> [[gnu::always_inline]] inline void unrolled(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (body(std::integral_constant<int, I>{}), ...); }
  (std::make_integer_sequence<int, Count>{});
}

}  // namespace eva::cpu::EVA_CLIP_ISA
