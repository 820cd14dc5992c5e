#include "cpu/table.h"

#include <array>

#include "cpu/clip_loss/clip_loss.h"
#include "cpu/kernel.h"
#include "cpu/linear.h"
#include "cpu/optimizer.h"
#include "ops/all_ops.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

template <class Op> struct prepared final : kernel {
  prepared(const typename Op::args& args, context& on) : context_(on), plan_(args, on) {}
  void run() override { plan_.run(context_); }

 private:
  context& context_;
  plan<Op> plan_;
};

template <class Op> std::unique_ptr<kernel> prepare(const void* args, context& c) {
  return std::make_unique<prepared<Op>>(*static_cast<const typename Op::args*>(args), c);
}

template <class... Op> constexpr auto table_of(ops::op_list<Op...>) {
  return std::array<prepare_function, sizeof...(Op)>{&prepare<Op>...};
}

constexpr auto all = table_of(ops::all_ops{});

}  // namespace

kernel_table kernels() { return all; }

}  // namespace eva::cpu::EVA_CLIP_ISA
