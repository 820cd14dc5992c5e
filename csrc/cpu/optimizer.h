#pragma once

#include <tuple>
#include <utility>
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
  /// The first part of a tensor, if it has any.
  size_t first_of(size_t tensor) const { return first_of_[tensor]; }

  /// Calls each pass(i) for each part, all passes over a group of tensors before the next group, whose
  /// elements therefore are in the cache for every pass but the first. All parts of a group have had a pass
  /// before the next one starts. A part always has the same thread, so that passes and steps find it in that
  /// core's cache.
  template <class... Pass> void for_each(const context& c, const Pass&... passes) const {
    parallel_team(c, parts_.size() <= 1, [&](int thread, int team, const auto& barrier) {
      std::tuple<Pass...> mine(passes...);
      for (const group& g : groups_) {
        bool waits = false;
        const auto run = [&](auto& pass) {
          if (std::exchange(waits, true)) barrier();
          for (size_t share = size_t(thread); share + 1 < g.first.size(); share += size_t(team))
            for (size_t i = g.first[share]; i < g.first[share + 1]; ++i) pass(i);
        };
        std::apply([&](auto&... pass) { (run(pass), ...); }, mine);
      }
    });
  }

 private:
  /// Tensors that fit in the cache together, or a larger one.
  struct group {
    std::vector<size_t> first;  // first part per thread, balanced by elements; then the end
  };

  std::vector<part> parts_;
  std::vector<size_t> first_of_;  // per tensor
  std::vector<group> groups_;
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

  /// ‖p‖ / ‖u‖ from the sums of the tensor's parts, or 1 if either is 0.
  float trust_ratio(size_t tensor) const;

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
