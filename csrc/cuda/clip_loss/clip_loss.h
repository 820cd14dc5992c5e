#pragma once

#include <vector>

#include "cuda/kernel.h"
#include "cuda/linear/matrix_product.h"
#include "ops/clip_loss.h"

namespace eva::cuda {

/// Weights of some rows at a time, s G, which the library then multiplies by the features: nothing is as
/// large as B × B, every score is computed once, and no sum depends on the order of blocks.
template <> struct plan<ops::clip_loss_backward> {
  plan(const ops::clip_loss_backward::args& a, context& c);
  void run(context& c);

 private:
  /// The products of so many rows of weights.
  struct row_products {
    matrix_product first_dimage, more_dimage, first_dtext, more_dtext;
  };
  struct memory;

  int64_t most_rows() const;
  memory take(context& c) const;
  row_products products_of(int64_t rows, const memory& from, context& c) const;

  const ops::clip_loss_backward::args& args_;
  std::vector<row_products> products_;  // of the most rows, and of the last ones where they are fewer
};

}  // namespace eva::cuda
