#pragma once

#include <memory>
#include <span>

#include "cuda/context.h"
#include "runtime/backend.h"

namespace eva::cuda {

/// Makes the kernel of one application of an op from its args.
using prepare_function = std::unique_ptr<kernel> (*)(const void* args, context&);

/// The kernels in the order of ops::all_ops.
std::span<const prepare_function> kernels();

}  // namespace eva::cuda
