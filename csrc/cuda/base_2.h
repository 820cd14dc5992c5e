#pragma once

#include <numbers>

namespace eva::cuda {

// The GPU's exponential and logarithm instructions are base 2: e^x = 2^(x log2 e), ln x = ln 2 · log2 x.
inline constexpr float log2_e = std::numbers::log2e_v<float>, ln_2 = std::numbers::ln2_v<float>;

}  // namespace eva::cuda
