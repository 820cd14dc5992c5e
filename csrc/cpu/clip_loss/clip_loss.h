#pragma once

#include <vector>

#include "cpu/gemm/gemm.h"
#include "cpu/kernel.h"
#include "ops/clip_loss.h"

namespace eva::cpu::EVA_CLIP_ISA {

template <> struct plan<ops::clip_loss> {
  plan(const ops::clip_loss::args& a, context& c);
  void run(context& c);

 private:
  const ops::clip_loss::args& args_;
  std::vector<gemm> logits_;  // of a full tile and, if it is shorter, of the last one
};

template <> struct plan<ops::clip_loss_backward> {
  plan(const ops::clip_loss_backward::args& a, context& c);
  void run(context& c);

 private:
  /// The GEMMs of a tile of `rows` rows.
  struct tile_gemms {
    tile_gemms(int64_t rows, const ops::clip_loss_backward::args& a);
    gemm logits, dimage, first_dtext, more_dtext;
  };
  template <class T> void run_as(context& c);

  const ops::clip_loss_backward::args& args_;
  std::vector<tile_gemms> gemms_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
