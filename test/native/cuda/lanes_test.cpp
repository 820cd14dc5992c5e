// Programs with ops on both lanes: whichever lane each op is on, a program gives the bits of one lane, run
// kernel by kernel, captured and profiled, and with parameters that it updates.

#include <random>

#include "cuda/backend.h"
#include "small_program.h"

namespace {

using namespace eva;
using namespace eva::test;

constexpr int64_t rows = 4, columns = 16;
constexpr int ops = 24, runs = 4;

/// Random ops on [rows, columns] values and two parameters. Most values are read once and soon, so that later
/// ones take their memory.
class random_program {
 public:
  /// The same `seed` gives the same ops; those that `is_beside` chooses are on the communication lane.
  random_program(const std::shared_ptr<device>& on, uint32_t seed, const std::function<bool()>& is_beside)
      : random_(seed) {
    for (int i = 0; i < 2; ++i) {
      buffer values(dtype::f32, {rows, columns}, random_, 0.5f);
      const auto stored = std::make_shared<parameter>(on, dtype::f32, shape{rows, columns});
      on->backend().write(stored->view().data, tensor(values).data, stored->view().bytes());
      parameters_.push_back(graph_->parameter(stored));
    }
    input_ = graph_->input(dtype::f32, {rows, columns});
    values_ = {input_, input_};
    for (int i = 0; i < ops; ++i) {
      record();
      if (is_beside()) move_to_communication(graph_->nodes().back());
    }
    made_ = std::make_unique<program>(on, graph_, values_, program::options{});
    made_->prepare();
  }

  std::vector<float> run(const std::vector<float>& in) {
    std::vector<float> all(values_.size() * in.size());
    std::vector<void*> results;
    for (size_t i = 0; i < values_.size(); ++i) results.push_back(&all[i * in.size()]);
    const program::source source{input_, in.data()};
    made_->run({&source, 1}, results);
    return all;
  }

  program& made() { return *made_; }

 private:
  size_t below(size_t count) { return random_() % count; }

  /// Takes one of the values, which a later op may then no longer read.
  value_id take() {
    const size_t i = below(values_.size());
    const value_id taken = values_[i];
    if (values_.size() > 2) values_.erase(values_.begin() + ptrdiff_t(i));
    return taken;
  }

  void record() {
    const value_id p = parameters_[below(2)];
    switch (below(5)) {
      case 0:
        graph_->apply("clamp_update", {{"parameters", {p}}},
                      {{"minimum", -0.1 * double(1 + below(9))}, {"maximum", 0.1 * double(1 + below(9))}});
        return;
      case 1:
        return keep(graph_->apply("add", {{"a", {take()}}, {"b", {p}}}, {}));
      case 2:
        return keep(graph_->apply("scale", {{"x", {values_[below(values_.size())]}}}, {{"factor", -0.75}}));
      case 3:
        return keep(graph_->apply("linear", {{"x", {take()}}, {"weight", {square()}}}, {}));
      default:
        return keep(graph_->apply("add", {{"a", {take()}}, {"b", {take()}}}, {}));
    }
  }
  void keep(const node& n) { values_.push_back(output_of(n, "y")); }

  value_id square() {
    buffer values(dtype::f32, {columns, columns}, random_, 0.2f);
    return graph_->constant(dtype::f32, {columns, columns}, tensor(values).data);
  }

  std::mt19937 random_;
  std::shared_ptr<graph> graph_ = std::make_shared<graph>();
  value_id input_ = no_value;
  std::vector<value_id> values_, parameters_;
  std::unique_ptr<program> made_;
};

void lanes_change_no_bit(const std::shared_ptr<device>& on) {
  std::mt19937 lanes(7);
  int beside = 0;
  for (uint32_t seed = 0; seed < 10; ++seed) {
    random_program plain(on, seed, [] { return false; });
    random_program both(on, seed, [&] {
      const bool chosen = lanes() % 3 == 0;
      beside += chosen;
      return chosen;
    });
    const auto same = [&](int run, const std::string& how) {
      const std::vector<float> in(size_t(rows * columns), 0.1f * float(run + 1));
      const bool is_same = plain.run(in) == both.run(in);
      check(is_same, "program " + std::to_string(seed) + ", run " + std::to_string(run) + how);
    };
    for (int run = 0; run < runs; ++run) same(run, "");
    check(both.made().capture_failure().empty(), "captured: " + both.made().capture_failure());
    both.made().start_profile(program::timed::kernels);
    same(runs, " with a profile");
    for (const program::timing& timing : both.made().profile())
      check(timing.calls == 1 && timing.seconds >= 0, "the profile of " + timing.op);
  }
  check(beside > 50, "many ops were on the communication lane");
}

/// An index that is out of range is reported whichever lane finds it.
void faults_of_both_lanes_are_reported(const std::shared_ptr<device>& on) {
  const auto recorded = std::make_shared<graph>();
  const auto constant = [&](const shape& dims) {
    return recorded->constant(dtype::f32, dims, std::vector<float>(32, 1).data());
  };
  const int32_t starts[] = {0, 2};
  const value_id tokens = recorded->input(dtype::i32, {2});
  const operand_map operands{{"tokens", {tokens}},
                             {"cu_seqlens", {recorded->constant(dtype::i32, {2}, starts)}},
                             {"table", {constant({4, 8})}},
                             {"positions", {constant({2, 8})}}};
  const value_id rows_of = output_of(recorded->apply("embedding", operands, {}), "y");
  move_to_communication(recorded->nodes().back());
  program made(on, recorded, {rows_of}, {});
  made.prepare();
  std::vector<float> out(16);
  void* const results[] = {out.data()};
  for (const int32_t token : {3, 4, 0}) {
    const int32_t chosen[] = {0, token};
    const program::source source{tokens, chosen};
    const std::string failure = failure_of([&] { made.run({&source, 1}, results); });
    check(failure.empty() == (token < 4), "token " + std::to_string(token) + ": " + failure);
  }
}

}  // namespace

int main() {
  const auto on = std::make_shared<device>(cuda::open());
  lanes_change_no_bit(on);
  faults_of_both_lanes_are_reported(on);
  on->backend().close();
  check(on->backend().workspace_bytes() == 0, "no workspace of either lane after close()");
  return status();
}
