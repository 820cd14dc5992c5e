#pragma once

#include "ops/all_ops.h"

namespace eva::ops {

namespace detail {

constexpr uint64_t mix(uint64_t hash, std::string_view text) {
  for (char c : text) hash = (hash ^ uint64_t(uint8_t(c))) * 0x100000001b3u;
  return hash;
}

constexpr uint64_t mix(uint64_t hash, uint64_t number) {
  for (int byte = 0; byte < 8; ++byte) hash = (hash ^ (number >> 8 * byte & 0xffu)) * 0x100000001b3u;
  return hash;
}

template <class Op> constexpr uint64_t mix_op(uint64_t hash) {
  hash = mix(mix(hash, Op::name), sizeof(typename Op::args));
  std::apply([&](const auto&... field) { ((hash = mix(hash, field.name)), ...); }, Op::fields);
  return hash;
}

template <class... Op> constexpr uint64_t mix_all(op_list<Op...>, uint64_t hash) {
  ((hash = mix_op<Op>(hash)), ...);
  return hash;
}

}  // namespace detail

/// 64-bit FNV-1a hash of the order, names, fields and sizes of all ops. Two libraries that exchange args
/// structs must have the same one.
inline constexpr uint64_t fingerprint = detail::mix_all(all_ops{}, 0xcbf29ce484222325u);

}  // namespace eva::ops
