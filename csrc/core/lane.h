#pragma once

#include <cstddef>
#include <cstdint>

namespace eva {

/// Where an op runs. Each lane runs its ops in their order, beside those of the other lane: on a GPU in a
/// stream of its own.
enum class lane : uint8_t { compute, communication };
inline constexpr size_t lane_count = 2;

}  // namespace eva
