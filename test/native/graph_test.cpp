// Recording and planning: shape errors name the field, dead ops are eliminated, updates are kept, views share
// memory.
#include "graph/graph.h"

#include <functional>
#include <string>

#include "check.h"
#include "core/error.h"
#include "cpu/dispatch/backend.h"
#include "graph/program.h"
#include "recorded_op.h"
#include "wrapped_cpu.h"

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
  expect_error([&] { g.reshape(x, {3, 16}); }, "ERR_EVACLIP_SHAPE", "cannot reshape");
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
  check(p.kernels() == 2, "exp, whose output is unread, is not run");
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
  check(clamp.kernels() == 1, "an op that updates parameters runs although its outputs are unread");
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
  expect_error([&] { parameter(on, dtype::f32, {int64_t(1) << 43}); }, "ERR_EVACLIP_OUT_OF_MEMORY",
               std::to_string(int64_t(1) << 45) + " bytes are needed");
}

void shapes_that_overflow_are_errors() {
  auto on = std::make_shared<device>(cpu::open(1, ""));
  constexpr int64_t half = int64_t(1) << 32, most = int64_t(1) << 53;
  for (const shape& dims : {shape{half, half}, shape{half, half, 0}, shape{0, most, most}, shape{most},
                            shape{-1, -1}, shape(50, 2), shape{half, 1 << 13}}) {
    const std::string what = to_string(dims);
    expect_error([&] { parameter(on, dtype::f32, dims); }, "ERR_EVACLIP_SHAPE", "");
    expect_error([&] { parameter(on, dtype::f32, {1}, dims); }, "ERR_EVACLIP_SHAPE", "");
    expect_error([&] { graph().input(dtype::u8, dims); }, "ERR_EVACLIP_SHAPE", "");
    expect_error(
        [&] {
          graph g;
          g.reshape(g.input(dtype::f32, {0}), dims);
        },
        "ERR_EVACLIP_SHAPE", "");
  }
  graph g;
  const value_id pixels = g.input(dtype::u8, {1, 1, 1, 4}), one = g.input(dtype::f32, {1, 2, 3});
  const value_id background = g.input(dtype::f32, {1, 3}), color = g.input(dtype::f32, {1, 3, 4});
  const operand_map operands{
      {"images", {pixels}}, {"transform", {one}}, {"background", {background}}, {"color", {color}}};
  expect_error(
      [&] {
        g.apply("affine_sample", operands, {{"size", double(half)}});
      },
      "ERR_EVACLIP_SHAPE", "");
  expect_error(
      [&] {
        g.apply("pad", {{"x", {one}}}, {{"rows", double(most - 1)}});
      },
      "ERR_EVACLIP_SHAPE", "");
  expect_error(
      [&] {
        g.apply("transpose", {{"x", {g.input(dtype::f32, {})}}}, {});
      },
      "ERR_EVACLIP_SHAPE", "");
}

/// Counts allocated bytes.
class counting_backend : public wrapped_cpu {
 public:
  int64_t bytes = 0;
  bool prepares = true;

  void* allocate(int64_t size) override {
    bytes += size;
    return wrapped_cpu::allocate(size);
  }
  void release(void* memory, int64_t size) noexcept override {
    bytes -= size;
    wrapped_cpu::release(memory, size);
  }
  std::unique_ptr<kernel> prepare(int op, const void* args, lane on) override {
    if (!prepares) throw out_of_memory_error("in prepare");
    return wrapped_cpu::prepare(op, args, on);
  }
};

void a_failed_preparation_leaves_nothing() {
  auto backend = std::make_shared<counting_backend>();
  auto on = std::make_shared<device>(backend);
  auto g = std::make_shared<graph>();
  const value_id x = g->input(dtype::f32, {1000});
  const std::vector<float> ones(1000, 1);
  const value_id c = g->constant(dtype::f32, {1000}, ones.data());
  const value_id y = output_of(g->apply("add", {{"a", {x}}, {"b", {c}}}, {}), "y");
  program p(on, g, {y}, {});
  backend->prepares = false;
  expect_error([&] { p.prepare(); }, "ERR_EVACLIP_OUT_OF_MEMORY", "in prepare");
  check(backend->bytes == 0, std::to_string(backend->bytes) + " bytes are left after a failed preparation");
  backend->prepares = true;
  p.prepare();
  std::vector<float> out(1000);
  const program::source source{x, ones.data()};
  void* const results[] = {out.data()};
  p.run({&source, 1}, results);
  check(out[999] == 2, "the program works when it is prepared again");
}

/// The CPU with kernels that can be captured like a GPU's. Counts runs, captures and replays.
class capturing_backend final : public wrapped_cpu {
 public:
  int captures = 0, replays = 0, alone = 0;

  std::unique_ptr<kernel> prepare(int op, const void* args, lane on) override {
    struct counted final : kernel {
      std::unique_ptr<kernel> work;
      int* runs = nullptr;
      void run() override { ++*runs, work->run(); }
    };
    auto made = std::make_unique<counted>();
    made->work = wrapped_cpu::prepare(op, args, on);
    made->runs = &alone;
    return made;
  }

  std::unique_ptr<kernel> capture(std::span<kernel* const> all) override {
    struct replayed final : kernel {
      std::span<kernel* const> work;
      capturing_backend* on = nullptr;
      void run() override {
        ++on->replays;
        for (kernel* each : work) each->run();
      }
    };
    ++captures;
    auto made = std::make_unique<replayed>();
    made->work = all;
    made->on = this;
    return made;
  }
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
  check(backend->captures == 0 && backend->alone == 1, "the first run is kernel by kernel");
  run();
  run();
  check(backend->captures == 1 && backend->replays == 2, "the second run captures, and later ones replay");
  doubling(100000);
  run();
  run();
  check(backend->captures == 2 && backend->replays == 4, "a program whose arena moved is captured again");
  small->start_profile(program::timed::kernels);
  run();
  check(backend->replays == 4 && small->profile()[0].calls == 1, "a profile runs kernel by kernel");
  small->start_profile(program::timed::whole);
  run();
  check(backend->replays == 5 && small->profile().size() == 1 && small->profile()[0].calls == 1,
        "a profile of the whole program replays the capture");
}

void a_capture_that_fails_is_not_tried_again() {
  class failing final : public counting_backend {
   public:
    int captures = 0;
    std::unique_ptr<kernel> capture(std::span<kernel* const>) override {
      ++captures;
      return nullptr;
    }
    std::string capture_failure() const override { return "not permitted"; }
  };
  auto backend = std::make_shared<failing>();
  auto on = std::make_shared<device>(backend);
  auto g = std::make_shared<graph>();
  const value_id x = g->input(dtype::f32, {1});
  program p(on, g, {output_of(g->apply("scale", {{"x", {x}}}, {{"factor", 2.0}}), "y")}, {});
  p.prepare();
  for (float in = 0; in < 4; ++in) {
    float out = 0;
    const program::source source{x, &in};
    void* const results[] = {&out};
    p.run({&source, 1}, results);
    check(out == 2 * in, "a program that is not captured runs kernel by kernel");
  }
  check(backend->captures == 1, "a capture that failed is not tried again");
  check(p.capture_failure() == "not permitted", "the program reports why it is not captured");
}

}  // namespace

int main() {
  bad_recordings_are_refused();
  dead_ops_are_removed_and_views_share();
  parameters_change_in_place();
  too_much_memory_is_an_error();
  shapes_that_overflow_are_errors();
  a_failed_preparation_leaves_nothing();
  a_capture_that_fails_is_not_tried_again();
  programs_are_captured_once_and_again_when_the_arena_moved();
  return status();
}
