#pragma once

#include "cpu/gemm/engine.h"

namespace eva::cpu::EVA_CLIP_ISA {

/// A GEMM of panels, in one parallel region. Every element of c is a sum over K in order, in blocks that
/// depend on K alone: neither the number of threads nor M nor N changes its bits.
///
/// A thread holds a block of rows of a, packed, in its L2 cache, and multiplies it with its panels of b. If
/// all rows fit into one block, each thread packs the panels of b that it needs, part by part in the L1
/// cache; otherwise all threads pack b together first.
class blocked_gemm final : public prepared_gemm {
 public:
  blocked_gemm(const gemm_spec& spec, const engine& with, int threads);
  void run(const gemm_operands& operands) override;

 private:
  friend class gemm_worker;

  int64_t row_begin(int64_t panel) const;

  gemm_spec spec_;
  const engine& engine_;
  int threads_;
  int64_t words_;       // of K, padded
  int64_t depth_step_;  // words of K after which sums go through c
  int64_t row_panels_, column_panels_;
  int64_t block_panels_;  // row panels of a block
  int64_t column_step_;   // column panels that are packed together
  bool streamed_;         // b is packed where it is used
  // Words of workspace: shared by all threads, and of each thread.
  int64_t shared_words_, a_words_, b_words_, thread_words_;
};

}  // namespace eva::cpu::EVA_CLIP_ISA
