#pragma once

#include <vector>

#include "cpu/kernel.h"
#include "ops/optimizer.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A part of one of many tensors. All tensors of an update are cut into such parts, which the threads take as
/// they come free, so that hundreds of small tensors cost no more than a large one. A sum over tensors is
/// summed part by part, in the same order for any number of threads.
struct tensor_part {
  size_t tensor;
  int64_t begin, count;
};

template <> struct plan<ops::global_norm> {
  plan(const ops::global_norm::args& a, context& c);
  void run(context& c);

 private:
  const ops::global_norm::args& args_;
  std::vector<tensor_part> parts_;
  std::vector<double> sums_;  // of each part
};

template <> struct plan<ops::lamb_update> {
  plan(const ops::lamb_update::args& a, context& c);
  void run(context& c);

 private:
  /// Tensors that are updated together, small enough for the second pass to find them in the cache.
  struct group {
    size_t first_tensor, end_tensor, first_part, end_part;
  };
  struct square_sums {
    double parameter, update;
  };

  /// Adds the sums of a group's parts up to those of its tensors.
  void add_up(const group& g) const;

  const ops::lamb_update::args& args_;
  std::vector<tensor_part> parts_;
  std::vector<group> groups_;
  std::vector<square_sums> sums_;  // of each part
};

template <> struct plan<ops::adamw_update> {
  plan(const ops::adamw_update::args& a, context& c);
  void run(context& c);

 private:
  const ops::adamw_update::args& args_;
  std::vector<tensor_part> parts_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
