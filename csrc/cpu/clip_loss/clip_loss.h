#pragma once

#include <vector>

#include "cpu/dispatch/matrix_product.h"
#include "cpu/kernel.h"
#include "ops/clip_loss.h"

namespace eva::cpu::EVA_CLIP_ISA {

template <> struct plan<ops::clip_loss> {
  plan(const ops::clip_loss::args& a, context& c);
  void run(context& c);

 private:
  const ops::clip_loss::args& args_;
  std::vector<matrix_product> logits_;  // of a whole tile, and of the last one where it is shorter
};

template <> struct plan<ops::clip_loss_backward> {
  plan(const ops::clip_loss_backward::args& a, context& c);
  void run(context& c);

 private:
  /// The products of a tile of so many rows.
  struct tile_products {
    tile_products(int64_t rows, const ops::clip_loss_backward::args& a);
    matrix_product logits, dimage, first_dtext, more_dtext;
  };
  template <class T> void run_as(context& c);

  const ops::clip_loss_backward::args& args_;
  std::vector<tile_products> products_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
