#include "cuda/table.h"

#include <array>
#include <optional>
#include <string>

#include "cuda/clip_loss/clip_loss.h"
#include "cuda/failure.h"
#include "cuda/kernel.h"
#include "cuda/linear/linear.h"
#include "cuda/optimizer/optimizer.h"
#include "ops/all_ops.h"

namespace eva::cuda {
namespace {

void describe(const tensor& t, const char* field, std::string& text) {
  if (!t.present()) return;
  text += (text.empty() ? "" : ", ") + std::string(field) + " " + std::string(to_string(t.type)) + " " +
          to_string(t.dims);
}
/// The first tensor of a list.
void describe(const tensors& list, const char* field, std::string& text) {
  if (!list.empty()) describe(list[0], field, text);
}
template <class T> void describe(const T&, const char*, std::string&) {}

/// "layer_norm (x f32 [8, 16], …)"
template <class Op> std::string described(const typename Op::args& args) {
  std::string operands;
  ops::for_each_field<Op>([&](const auto& field) { describe(args.*field.member, field.name, operands); });
  return std::string(Op::name) + " (" + operands + ")";
}

template <class Op> struct prepared final : kernel {
  prepared(const typename Op::args& args, context& on) : context_(on), args_(args) {
    naming_op([&] { plan_.emplace(args, on); });
  }
  void before_capture() override {
    if constexpr (requires { plan_->refresh(context_); }) naming_op([&] { plan_->refresh(context_); });
  }
  void run() override {
    naming_op([&] {
      plan_->run(context_);
      if (context_.synchronous) device::synchronize(context_.stream);
    });
  }

 private:
  template <class Body> void naming_op(const Body& body) {
    try {
      body();
    } catch (const device::error& failure) {
      fail(failure, described<Op>(args_));
    } catch (const library_error& failure) {
      fail(failure, described<Op>(args_));
    }
  }

  context& context_;
  const typename Op::args& args_;
  std::optional<plan<Op>> plan_;
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
