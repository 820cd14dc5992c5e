// Recording and planning: shape errors name the field, dead ops go, effects stay, views share bytes.
#include "graph/graph.h"

#include <functional>
#include <string>

#include "check.h"
#include "core/error.h"
#include "cpu/dispatch/backend.h"
#include "graph/program.h"

namespace {

using namespace eva;
using namespace eva::test;

void expect_error(const std::function<void()>& body, const std::string& code, const std::string& part) {
  try {
    body();
    check(false, "expected " + code);
  } catch (const error& e) {
    check(e.code == code && std::string(e.what()).find(part) != std::string::npos,
          code + " with \"" + part + "\", got " + e.code + ": " + e.what());
  }
}

value_id output_of(const node& n, const std::string& field) {
  for (const slot& s : n.slots)
    if (s.how == access::write && field == s.field) return s.value;
  return no_value;
}

void bad_recordings_are_refused() {
  graph g;
  const value_id x = g.input(dtype::f32, {4, 16}), w = g.input(dtype::f32, {8});
  expect_error(
      [&] {
        g.apply("layer_norm", {{"x", {x}}, {"weight", {w}}, {"bias", {w}}}, {});
      },
      "ERR_EVACLIP_SHAPE", "layer_norm: weight must be [16], got f32 [8]");
  expect_error([&] { g.apply("no_such_op", {}, {}); }, "ERR_EVACLIP_UNKNOWN_OP", "no_such_op");
  expect_error([&] { g.apply("add", {{"a", {x}}}, {}); }, "ERR_EVACLIP_INVALID_ARGUMENT", "b is required");
  expect_error(
      [&] {
        g.apply("add", {{"a", {x}}, {"b", {x}}, {"c", {x}}}, {});
      },
      "ERR_EVACLIP_INVALID_ARGUMENT", "no input c");
  expect_error(
      [&] {
        g.apply("scale", {{"x", {x}}}, {{"faktor", 2.0}});
      },
      "ERR_EVACLIP_INVALID_ARGUMENT", "no attribute faktor");
  expect_error(
      [&] {
        g.apply("cast", {{"x", {x}}}, {{"type", std::string("f64")}});
      },
      "ERR_EVACLIP_INVALID_ARGUMENT", "one of");
  expect_error([&] { g.reshape(x, {3, 16}); }, "ERR_EVACLIP_SHAPE", "does not fit");
  expect_error([&] { g.at(99); }, "ERR_EVACLIP_INVALID_ARGUMENT", "no value 99");
}

void dead_ops_are_removed_and_views_share() {
  auto on = std::make_shared<device>(cpu::open(1, ""));
  auto g = std::make_shared<graph>();
  const value_id x = g->input(dtype::f32, {2, 3});
  const value_id doubled = output_of(g->apply("scale", {{"x", {x}}}, {{"factor", 2.0}}), "y");
  g->apply("exp", {{"x", {doubled}}}, {});
  const value_id flat = g->reshape(doubled, {6});
  const value_id sum = output_of(g->apply("add", {{"a", {flat}}, {"b", {flat}}}, {}), "y");
  program p(on, g, {sum}, {});
  check(p.kernels() == 2, "exp, which nobody reads, is not run");
  p.prepare();
  const float in[6] = {1, 2, 3, 4, 5, 6};
  float out[6] = {};
  const program::source source{x, in};
  void* const results[] = {out};
  p.run({&source, 1}, results);
  check(out[0] == 4 && out[5] == 24, "a view reads its owner's bytes");
}

void parameters_change_in_place() {
  auto on = std::make_shared<device>(cpu::open(1, ""));
  auto p = std::make_shared<parameter>(on, dtype::f32, shape{3});
  const float start[3] = {-1, 0.5f, 9};
  on->backend().write(p->view().data, start, sizeof start);
  auto g = std::make_shared<graph>();
  g->apply("clamp_update", {{"parameters", {g->parameter(p)}}}, {{"minimum", 0.0}, {"maximum", 1.0}});
  program clamp(on, g, {}, {});
  check(clamp.kernels() == 1, "an op with an effect runs although nobody reads it");
  clamp.prepare();
  clamp.run({}, {});
  float now[3];
  on->backend().read(now, p->view().data, sizeof now);
  check(now[0] == 0 && now[1] == 0.5f && now[2] == 1, "the parameter was clamped in place");
  p->dispose();
  expect_error([&] { p->view(); }, "ERR_EVACLIP_DISPOSED", "disposed");
  clamp.run({}, {});
  expect_error(
      [&] {
        graph other;
        other.apply("clamp_update", {{"parameters", {other.input(dtype::f32, {3})}}}, {});
      },
      "ERR_EVACLIP_INVALID_ARGUMENT", "must be parameters");
}

void too_much_memory_is_an_error() {
  auto on = std::make_shared<device>(cpu::open(1, ""));
  expect_error([&] { parameter(on, dtype::f32, {int64_t(1) << 45}); }, "ERR_EVACLIP_OUT_OF_MEMORY",
               "MB wanted");
}

/// The CPU, with kernels that can be captured, as a GPU's can. Counts what runs.
class capturing_backend final : public backend {
 public:
  int captures = 0, replays = 0, alone = 0;

  description info() const override { return cpu_->info(); }
  void enter_thread() override { cpu_->enter_thread(); }
  void* allocate(int64_t bytes) override { return cpu_->allocate(bytes); }
  void release(void* memory, int64_t bytes) noexcept override { cpu_->release(memory, bytes); }
  void fill(void* to, int64_t bytes, const producer& produce) override { cpu_->fill(to, bytes, produce); }
  void read(void* to, const void* from, int64_t bytes) override { cpu_->read(to, from, bytes); }
  void finish() override {}
  double time(kernel& work) override { return cpu_->time(work); }

  std::unique_ptr<kernel> prepare(int op, const void* args) override {
    struct counted final : kernel {
      std::unique_ptr<kernel> work;
      int* runs = nullptr;
      void run() override { ++*runs, work->run(); }
    };
    auto made = std::make_unique<counted>();
    made->work = cpu_->prepare(op, args);
    made->runs = &alone;
    return made;
  }

  std::unique_ptr<kernel> capture(std::span<const std::unique_ptr<kernel>> all) override {
    struct replayed final : kernel {
      std::span<const std::unique_ptr<kernel>> work;
      capturing_backend* on = nullptr;
      void run() override {
        ++on->replays;
        for (const auto& each : work) each->run();
      }
    };
    ++captures;
    auto made = std::make_unique<replayed>();
    made->work = all;
    made->on = this;
    return made;
  }

 private:
  std::shared_ptr<backend> cpu_ = cpu::open(1, "");
};

void programs_are_captured_once_and_again_when_the_arena_moved() {
  auto backend = std::make_shared<capturing_backend>();
  auto on = std::make_shared<device>(backend);
  const auto doubling = [&](int64_t count) {
    auto g = std::make_shared<graph>();
    const value_id x = g->input(dtype::f32, {count});
    const value_id y = output_of(g->apply("scale", {{"x", {x}}}, {{"factor", 2.0}}), "y");
    auto made = std::make_unique<program>(on, g, std::vector<value_id>{y}, program::options{});
    made->prepare();
    return std::pair(std::move(made), x);
  };
  const auto [small, x] = doubling(1);
  float in = 0, out = 0;
  const program::source source{x, &in};
  void* const results[] = {&out};
  const auto run = [&] {
    in += 1;
    small->run({&source, 1}, results);
    check(out == 2 * in, "a captured program reads its new input");
  };
  run();
  check(backend->captures == 0 && backend->alone == 1, "the first run goes kernel by kernel");
  run();
  run();
  check(backend->captures == 1 && backend->replays == 2, "the second run captures, and later ones replay");
  doubling(100000);
  run();
  run();
  check(backend->captures == 2 && backend->replays == 4, "a program whose arena moved is captured again");
  small->start_profile();
  run();
  check(backend->replays == 4 && small->profile()[0].calls == 1, "a profile runs kernel by kernel");
}

}  // namespace

int main() {
  bad_recordings_are_refused();
  dead_ops_are_removed_and_views_share();
  parameters_change_in_place();
  too_much_memory_is_an_error();
  programs_are_captured_once_and_again_when_the_arena_moved();
  return status();
}
