// Which steps wait for the other lane, and how long the memory of those beside must last.
#include "graph/schedule.h"

#include "check.h"
#include "core/error.h"
#include "cpu/dispatch/backend.h"
#include "graph/program.h"
#include "recorded_op.h"
#include "wrapped_cpu.h"

namespace {

using namespace eva;
using namespace eva::test;

/// Records ops on f32 vectors: `add` on the compute lane, `beside` on the other one.
struct recording {
  graph recorded;

  value_id input() { return recorded.input(dtype::f32, {8}); }
  value_id add(value_id a, value_id b) {
    return output_of(recorded.apply("add", {{"a", {a}}, {"b", {b}}}, {}), "y");
  }
  value_id beside(value_id a, value_id b) {
    const value_id sum = add(a, b);
    move_to_communication(recorded.nodes().back());
    return sum;
  }
  void clamp(value_id p) {
    recorded.apply("clamp_update", {{"parameters", {p}}}, {{"minimum", 0.0}, {"maximum", 1.0}});
  }
  void clamp_beside(value_id p) {
    clamp(p);
    move_to_communication(recorded.nodes().back());
  }

  schedule made() {
    std::vector<node*> order;
    for (node& n : recorded.nodes()) order.push_back(&n);
    return schedule::of(recorded, order);
  }
};

void expect(const schedule& made, const std::vector<bool>& waits, const std::vector<int>& last_beside,
            bool waits_at_end, const std::string& what) {
  check(made.steps.size() == waits.size(), what + ": steps");
  for (size_t i = 0; i < waits.size(); ++i) {
    const std::string step = what + ", step " + std::to_string(i);
    check(made.steps[i].waits == waits[i], step + (waits[i] ? ": must wait" : ": must not wait"));
    check(made.steps[i].last_beside == last_beside[i],
          step + ": runs beside steps up to " + std::to_string(made.steps[i].last_beside));
  }
  check(made.waits_at_end == waits_at_end, what + ": at the end");
}

void one_lane_waits_for_nothing() {
  recording r;
  const value_id x = r.input(), y = r.add(x, x);
  r.add(y, x);
  expect(r.made(), {false, false}, {0, 1}, false, "one lane");
}

void readers_wait_for_the_other_lane() {
  recording r;
  const value_id x = r.input(), a = r.add(x, x);
  const value_id sent = r.beside(a, a);
  const value_id b = r.add(a, x);
  r.add(b, sent);
  r.add(b, b);
  expect(r.made(), {false, true, false, true, false}, {0, 2, 2, 3, 4}, false, "a reader");
}

void views_are_their_owners_memory() {
  recording r;
  const value_id x = r.input();
  const value_id sent = r.beside(x, x);
  const value_id half = r.recorded.rows(r.recorded.reshape(sent, {8}), 0, 4);
  r.add(half, half);
  expect(r.made(), {true, true}, {0, 1}, false, "a view");
}

void unread_results_are_waited_for_at_the_end() {
  recording r;
  const value_id x = r.input(), a = r.add(x, x);
  r.beside(a, a);
  r.beside(x, x);
  r.add(a, x);
  r.beside(x, a);
  expect(r.made(), {false, true, false, false, true}, {0, 5, 5, 3, 5}, true, "the end");
}

void parameters_are_neither_overwritten_nor_read_too_early() {
  auto on = std::make_shared<device>(cpu::open(1, ""));
  const auto whole = std::make_shared<parameter>(on, dtype::f32, shape{8});
  const auto window = std::make_shared<parameter>(*whole, 2, shape{4}, shape{4});
  const auto other = std::make_shared<parameter>(on, dtype::f32, shape{8});
  {
    recording r;
    const value_id p = r.recorded.parameter(whole);
    r.beside(p, p);
    r.add(p, p);
    r.clamp(r.recorded.parameter(other));
    r.clamp(r.recorded.parameter(window));
    expect(r.made(), {true, false, false, true}, {2, 1, 2, 3}, false, "a parameter that is read beside");
  }
  {
    recording r;
    const value_id p = r.recorded.parameter(window);
    r.clamp_beside(p);
    const value_id read = r.recorded.parameter(whole);
    r.add(read, read);
    expect(r.made(), {true, true}, {0, 1}, false, "a parameter that is updated beside");
  }
}

/// The CPU with two lanes that log what they run, and an op that fails.
class logging_backend final : public wrapped_cpu {
 public:
  std::string log;
  bool fails = false;

  double time(kernel& work) override {
    work.run();
    return 0;
  }
  std::unique_ptr<kernel> prepare(int, const void*, lane on) override {
    return logged(on == lane::compute ? "c" : "o", true);
  }
  std::unique_ptr<kernel> prepare_wait(lane waiting) override {
    return logged(waiting == lane::compute ? "C" : "O", false);
  }

 private:
  std::unique_ptr<kernel> logged(const std::string& name, bool may_fail) {
    struct made final : kernel {
      made(logging_backend& on, std::string name, bool may_fail)
          : on_(on), name_(name), may_fail_(may_fail) {}
      void run() override {
        on_.log += name_;
        if (may_fail_ && on_.fails && name_ == "c") throw error("ERR_EVACLIP_GPU", "failed");
      }
      logging_backend& on_;
      std::string name_;
      bool may_fail_;
    };
    return std::make_unique<made>(*this, name, may_fail);
  }
};

void lanes_are_joined_whatever_happens() {
  const auto backend = std::make_shared<logging_backend>();
  const auto on = std::make_shared<device>(backend);
  const auto g = std::make_shared<graph>();
  const value_id x = g->input(dtype::f32, {8});
  const auto sum = [&](value_id a, bool is_beside) {
    g->apply("add", {{"a", {a}}, {"b", {a}}}, {});
    node& n = g->nodes().back();
    if (is_beside) move_to_communication(n);
    return output_of(n, "y");
  };
  const value_id sent = sum(x, true), beside = sum(x, false), after = sum(sent, false);
  program made(on, g, {beside, after}, {});
  made.prepare();
  float bytes[8] = {};
  const program::source source{x, bytes};
  void* const results[] = {bytes, bytes};
  const auto log_of = [&](const std::function<void()>& body) {
    backend->log.clear();
    body();
    return backend->log;
  };
  const auto run = [&] { made.run({&source, 1}, results); };
  const std::string plain = log_of(run);
  check(plain == "OocCc", "a run: " + plain);
  backend->fails = true;
  const std::string failed = log_of([&] { check(!failure_of(run).empty(), "a failed op"); });
  check(failed == "OocC", "a failed run: " + failed);
  backend->fails = false;
  made.start_profile(program::timed::kernels);
  const std::string profiled = log_of(run);
  check(profiled == "OoCcc", "a profile: " + profiled);
}

}  // namespace

int main() {
  one_lane_waits_for_nothing();
  readers_wait_for_the_other_lane();
  views_are_their_owners_memory();
  unread_results_are_waited_for_at_the_end();
  parameters_are_neither_overwritten_nor_read_too_early();
  lanes_are_joined_whatever_happens();
  return status();
}
