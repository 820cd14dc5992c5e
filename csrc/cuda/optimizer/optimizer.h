#pragma once

#include "cuda/kernel.h"
#include "cuda/optimizer/tensor_tiles.h"
#include "ops/optimizer.h"

namespace eva::cuda {

/// The plan of an op over lists of tensors.
template <class Op> struct tiled_plan {
  tiled_plan(const typename Op::args& a, context& c);
  void run(context& c);
  /// Uploads the tensors' addresses if they have changed, which must not be captured.
  void refresh(context& c);

 private:
  const typename Op::args& args_;
  tensor_tiles tiles_;
};

template <> struct plan<ops::global_norm> : tiled_plan<ops::global_norm> { using tiled_plan::tiled_plan; };
template <> struct plan<ops::lamb_update> : tiled_plan<ops::lamb_update> { using tiled_plan::tiled_plan; };
template <> struct plan<ops::adamw_update> : tiled_plan<ops::adamw_update> { using tiled_plan::tiled_plan; };
template <> struct plan<ops::clamp_update> : tiled_plan<ops::clamp_update> { using tiled_plan::tiled_plan; };
template <> struct plan<ops::ema_update> : tiled_plan<ops::ema_update> { using tiled_plan::tiled_plan; };

}  // namespace eva::cuda
