#pragma once

#include <initializer_list>

#include "cuda/context.h"

namespace eva::cuda {

/// out [columns] = the column sums of partials [parts, columns]: the second stage of a sum over rows whose
/// first stage left one partial sum per block. Does nothing if out is null.
void add_up_columns(const float* partials, int64_t parts, int64_t columns, float* out, context& c);

struct column_range {
  float* out;  // [columns]; null if it is not read
  int64_t columns;
};

/// The same for up to three vectors, whose partial sums are side by side in each row of partials.
void add_up_columns(const float* partials, int64_t parts, std::initializer_list<column_range> outputs,
                    context& c);

}  // namespace eva::cuda
