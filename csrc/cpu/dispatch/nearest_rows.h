#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/float_format.h"
#include "cpu/context.h"

namespace eva::cpu {

/// A search of the rows of a matrix for those with the largest product with each query.
struct nearest_args {
  const std::byte* rows;  // [row_count, columns] of `type`, aligned to its size
  stored_dtype type;      // f32, f16 or bf16
  int64_t row_count;      // less than 2^31
  int64_t columns;
  const float* queries;  // [query_count, columns]
  int64_t query_count;
  int64_t count;           // rows to find per query
  const uint8_t* allowed;  // a bit per row, the lowest first; null allows every row
  /// Called on each thread before it reads the next megabyte of rows; ends the search by throwing.
  std::function<void()> before_part;
};

struct neighbor {
  float similarity;
  int32_t row;
};

/// The nearest rows of each query, best first, ties in the order of rows. The same bits for any number of
/// queries and threads. Throws ERR_EVACLIP_NOT_FINITE if a product that could be among the best is NaN or
/// infinite.
using nearest_rows_run = std::vector<std::vector<neighbor>> (*)(const nearest_args&, const context&);

/// The search for an instruction set, named as for open.
nearest_rows_run nearest_rows(const std::string& instruction_set = "");

}  // namespace eva::cpu
