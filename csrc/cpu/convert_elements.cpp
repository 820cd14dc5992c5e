#include "cpu/dispatch/convert_elements.h"

#include <cstring>

#include "core/error.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

template <class Pattern> Pattern load(const std::byte* from) {
  Pattern value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class From, class To>
void convert(const std::byte* from, int64_t stride, int64_t count, std::byte* to) {
  constexpr int64_t from_bytes = sizeof(From), to_bytes = sizeof(To);
  if (count == 0) return;  // the pointers may be null
  if (std::is_same_v<From, To> && stride == from_bytes) {
    std::memcpy(to, from, size_t(count * to_bytes));
  } else if (stride == from_bytes) {
    // A separate loop: with a constant stride the compiler vectorizes it.
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const To value = converted<To>(load<From>(from + i * from_bytes));
      std::memcpy(to + i * to_bytes, &value, sizeof value);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      const To value = converted<To>(load<From>(from + i * stride));
      std::memcpy(to + i * to_bytes, &value, sizeof value);
    }
  }
}

template <class From> convert_run conversion_from(stored_dtype to) {
  switch (to) {
    case stored_dtype::f32:
      return convert<From, f32_pattern>;
    case stored_dtype::f16:
      return convert<From, f16_pattern>;
    case stored_dtype::bf16:
      return convert<From, bf16_pattern>;
    case stored_dtype::f64:
      break;
  }
  if constexpr (std::is_same_v<From, f64_pattern>) return convert<From, f64_pattern>;
  throw argument_error("only F64 can be converted to F64");
}

}  // namespace

convert_run conversion(stored_dtype from, stored_dtype to) {
  switch (from) {
    case stored_dtype::f64:
      return conversion_from<f64_pattern>(to);
    case stored_dtype::f32:
      return conversion_from<f32_pattern>(to);
    case stored_dtype::f16:
      return conversion_from<f16_pattern>(to);
    case stored_dtype::bf16:
      break;
  }
  return conversion_from<bf16_pattern>(to);
}

}  // namespace eva::cpu::EVA_CLIP_ISA
