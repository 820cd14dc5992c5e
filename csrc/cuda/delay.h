#pragma once

#include "cuda/device/memory.h"

namespace eva::cuda {

/// Keeps the stream busy for about 100 µs, in which the host queues what follows. Without it, the time
/// between two events on an idle stream would include the host's launches.
void delay(device::stream on);

}  // namespace eva::cuda
