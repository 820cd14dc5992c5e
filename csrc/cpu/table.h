#pragma once

#include <memory>
#include <span>

#include "cpu/context.h"
#include "runtime/backend.h"

namespace eva::cpu {

/// Makes the kernel of one op application from its args struct.
using prepare_function = std::unique_ptr<kernel> (*)(const void* args, context&);

/// The kernels of one instruction set, in the order of ops::all_ops.
using kernel_table = std::span<const prepare_function>;

}  // namespace eva::cpu
