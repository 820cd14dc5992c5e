// Recording and planning: shape errors name the field, dead ops go, effects stay, views share bytes.
#include "graph/graph.h"

#include <cstdio>
#include <functional>
#include <string>

#include "core/error.h"
#include "cpu/dispatch/backend.h"
#include "graph/program.h"

namespace {

using namespace eva;
int failures = 0;

void check(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

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

}  // namespace

int main() {
  bad_recordings_are_refused();
  dead_ops_are_removed_and_views_share();
  parameters_change_in_place();
  too_much_memory_is_an_error();
  std::printf(failures ? "%d failures\n" : "ok\n", failures);
  return failures != 0;
}
