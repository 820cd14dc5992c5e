#pragma once

#include "core/error.h"
#include "cuda/device/runtime.cuh"

namespace eva::cuda {

/// Calls body, and gives what the driver reports a code of ours.
template <class Body> auto translated(const Body& body) {
  try {
    return body();
  } catch (const device::error& failure) {
    if (failure.out_of_memory) throw out_of_memory_error("out of GPU memory", {{"driver", failure.what()}});
    throw device_lost_error(std::string("the GPU failed: ") + failure.what());
  }
}

}  // namespace eva::cuda
