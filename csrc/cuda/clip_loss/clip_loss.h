#pragma once

#include <vector>

#include "cuda/kernel.h"
#include "cuda/linear/gemm.h"
#include "ops/clip_loss.h"

namespace eva::cuda {

/// Computes the score gradients s G for some rows at a time, which GEMMs of the library multiply by the
/// features: no B × B matrix is stored, every score is computed once, and no sum depends on the order of
/// blocks.
template <> struct plan<ops::clip_loss_backward> {
  plan(const ops::clip_loss_backward::args& a, context& c);
  void run(context& c);

 private:
  /// The GEMMs for a number of rows: with beta = 0 (overwrite) and beta = 1 (accumulate).
  struct row_gemms {
    gemm dimage_overwrite, dimage_accumulate, dtext_overwrite, dtext_accumulate;
  };
  struct memory;

  int64_t max_rows() const;
  memory take(context& c) const;
  row_gemms gemms_of(int64_t rows, const memory& from, context& c) const;

  const ops::clip_loss_backward::args& args_;
  std::vector<row_gemms> gemms_;  // for max_rows(), and for the last rows if they are fewer
};

}  // namespace eva::cuda
