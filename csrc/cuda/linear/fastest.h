#pragma once

#include <cstddef>
#include <functional>

namespace eva::cuda {

/// Runs candidate `i` so many times; seconds per run, infinite if it cannot do the work.
using measurement = std::function<double(size_t i, int repetitions)>;

/// The fastest of `count` candidates that do the same work: the first usable one, unless another is faster by
/// more than measurements vary. `count` if none is usable.
size_t fastest(size_t count, const measurement& seconds_of);

}  // namespace eva::cuda
