#include "cuda/table.h"

#include <array>

#include "cuda/clip_loss/clip_loss.h"
#include "cuda/failure.h"
#include "cuda/kernel.h"
#include "cuda/linear/linear.h"
#include "cuda/optimizer/optimizer.h"
#include "ops/all_ops.h"

namespace eva::cuda {
namespace {

template <class Op> struct prepared final : kernel {
  prepared(const typename Op::args& args, context& on) : context_(on), plan_(args, on) {}
  void run() override {
    translated([&] { plan_.run(context_); });
  }

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

std::span<const prepare_function> kernels() { return all; }

}  // namespace eva::cuda
