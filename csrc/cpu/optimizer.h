#pragma once

#include <vector>

#include "cpu/kernel.h"
#include "cpu/parallel.h"
#include "ops/optimizer.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A list of tensors split into parts of bounded size, so that hundreds of small tensors cost no more than a
/// large one. Sums over parts have the same bits for any number of threads.
class tensor_parts {
 public:
  struct part {
    size_t tensor;
    int64_t begin, count;
  };

  tensor_parts(const tensors& list, const context& c);

  size_t size() const { return parts_.size(); }
  const part& operator[](size_t i) const { return parts_[i]; }

  /// Calls body(i) for each part, always on the same thread, so that every pass and step finds its data in
  /// the cache of the same core.
  template <class Body> void for_each(const context& c, const Body& body) const {
    parallel_for(c, int64_t(first_.size()) - 1, 1, [&](int64_t begin, int64_t end) {
      for (size_t i = first_[size_t(begin)]; i < first_[size_t(end)]; ++i) body(i);
    });
  }

 private:
  std::vector<part> parts_;
  std::vector<size_t> first_;  // first part per thread, balanced by elements; then the end
};

template <> struct plan<ops::global_norm> {
  plan(const ops::global_norm::args& a, context& c);
  void run(context& c);

 private:
  const ops::global_norm::args& args_;
  tensor_parts parts_;
  std::vector<double> sums_;  // per part
};

template <> struct plan<ops::lamb_update> {
  plan(const ops::lamb_update::args& a, context& c);
  void run(context& c);

 private:
  struct square_sums {
    double parameter, update;
  };

  /// Reduces the sums per part to sums per tensor.
  void reduce_sums() const;

  const ops::lamb_update::args& args_;
  tensor_parts parts_;
  std::vector<square_sums> sums_;  // per part
};

template <> struct plan<ops::adamw_update> {
  plan(const ops::adamw_update::args& a, context& c);
  void run(context& c);

 private:
  const ops::adamw_update::args& args_;
  tensor_parts parts_;
};

template <> struct plan<ops::ema_update> {
  plan(const ops::ema_update::args& a, context& c);
  void run(context& c);

 private:
  const ops::ema_update::args& args_;
  tensor_parts parts_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
