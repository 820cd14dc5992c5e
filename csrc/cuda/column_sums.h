#pragma once

#include "cuda/context.h"

namespace eva::cuda {

/// out [columns] = Σ of the rows of partials [parts, columns], in their order; nothing when out is null. The
/// second half of a sum over rows whose first half each block did for itself.
void add_up_columns(const float* partials, int64_t parts, int64_t columns, float* out, context& c);

}  // namespace eva::cuda
