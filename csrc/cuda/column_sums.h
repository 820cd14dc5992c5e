#pragma once

#include "cuda/context.h"

namespace eva::cuda {

/// out [columns] = the column sums of partials [parts, columns]: the second stage of a sum over rows whose
/// first stage left one partial sum per block. Does nothing if out is null.
void add_up_columns(const float* partials, int64_t parts, int64_t columns, float* out, context& c);

}  // namespace eva::cuda
