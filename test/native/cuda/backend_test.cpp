// The backend as the addon opens it: whole programs, captured and replayed, compared with the CPU; copies
// larger than the staging ring; out of memory; injected failures.
#include "cuda/backend.h"

#include <cstdio>
#include <cstring>
#include <random>

#include "../op_test.h"
#include "cuda/staging.h"
#include "graph/program.h"

namespace {

using namespace eva;
using namespace eva::test;

value_id output_of(const node& n, const std::string& field) {
  for (const slot& s : n.slots)
    if (s.how == access::write && field == s.field) return s.value;
  return no_value;
}

/// An MLP block, and the gradient of its last weight with dy = y.
struct block {
  block(const std::shared_ptr<device>& on, int64_t rows) : columns_(24), hidden_(40) {
    std::mt19937 random(5);
    const auto parameter_of = [&](const shape& dims) {
      buffer values(dtype::f32, dims, random, 0.2f);
      const auto stored = std::make_shared<eva::parameter>(on, dtype::f32, dims);
      on->backend().write(stored->view().data, tensor(values).data, stored->view().bytes());
      return graph_->parameter(stored);
    };
    x = graph_->input(dtype::f32, {rows, columns_});
    const value_id weight = parameter_of({columns_}), bias = parameter_of({columns_});
    const value_id wide = parameter_of({hidden_, columns_}), narrow = parameter_of({columns_, hidden_});
    const value_id normal =
        output_of(graph_->apply("layer_norm", {{"x", {x}}, {"weight", {weight}}, {"bias", {bias}}}, {}), "y");
    const value_id inner = output_of(graph_->apply("linear", {{"x", {normal}}, {"weights", {wide}}},
                                                   {{"activation", std::string("gelu")}}),
                                     "y");
    y = output_of(graph_->apply("linear", {{"x", {inner}}, {"weights", {narrow}}, {"residual", {x}}}, {}),
                  "y");
    gradient = output_of(graph_->apply("linear_weight_gradient", {{"dy", {y}}, {"x", {inner}}},
                                       {{"begin", 0.0}, {"end", double(columns_)}}),
                         "dweight");
    made = std::make_unique<program>(on, graph_, std::vector<value_id>{y, gradient}, program::options{});
    made->prepare();
  }

  std::vector<float> run(const std::vector<float>& in) {
    std::vector<float> all(in.size() + size_t(columns_ * hidden_));
    const program::source source{x, in.data()};
    void* const results[] = {all.data(), all.data() + in.size()};
    made->run({&source, 1}, results);
    return all;
  }

  value_id x, y, gradient;
  std::unique_ptr<program> made;

 private:
  int64_t columns_, hidden_;
  std::shared_ptr<graph> graph_ = std::make_shared<graph>();
};

double distance(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double(actual[i]) - expected[i], 2);
    norm += std::pow(double(expected[i]), 2);
  }
  return std::sqrt(difference / norm);
}

void programs_agree_with_the_cpu(const std::shared_ptr<device>& on) {
  constexpr int64_t rows = 6;
  auto reference = std::make_shared<device>(cpu::open(1, ""));
  block ours(on, rows), theirs(reference, rows);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> first;
  for (int run = 0; run < 4; ++run) {
    std::vector<float> in(static_cast<size_t>(rows * 24));
    for (float& value : in) value = normal(random);
    check(distance(ours.run(in), theirs.run(in)) < 1e-5, "run " + std::to_string(run) + " of a program");
    if (run == 2) block larger(on, 40 * rows);  // reallocates the arena
    if (run == 0) first = in;
  }
  const std::vector<float> replayed = ours.run(first);
  ours.made->start_profile();
  check(ours.run(first) == replayed, "a replay gives the bits of a run kernel by kernel");
  for (const program::timing& timing : ours.made->profile())
    check(timing.calls == 1 && timing.seconds >= 0, "the profile of " + timing.op);
}

void copies_of_any_size_arrive(backend& on) {
  for (int64_t bytes : {int64_t(0), int64_t(1), cuda::staging::slot_bytes, 3 * cuda::staging::slot_bytes - 7,
                        19 * cuda::staging::slot_bytes + 13}) {
    std::vector<uint8_t> sent(static_cast<size_t>(bytes)), received(sent.size());
    for (size_t i = 0; i < sent.size(); ++i) sent[i] = uint8_t(i * 7 + i / 4096);
    void* memory = on.allocate(bytes);
    on.write(memory, sent.data(), bytes);
    on.read(received.data(), memory, bytes);
    on.release(memory, bytes);
    check(sent == received, std::to_string(bytes) + " bytes there and back");
  }
}

void fill_passes_errors_on(backend& on) {
  for (const int64_t parts : {int64_t(3), int64_t(19)}) {
    const int64_t bytes = parts * cuda::staging::slot_bytes;
    void* memory = on.allocate(bytes);
    try {
      on.fill(memory, bytes, [](int64_t begin, int64_t, std::byte*) {
        if (begin > 0) throw data_error("after the first part");
      });
      check(false, "an error was lost");
    } catch (const data_error& e) {
      check(std::string(e.what()) == "after the first part", e.what());
    }
    on.release(memory, bytes);
  }
}

void too_much_memory_is_an_error(backend& on) {
  try {
    on.allocate(int64_t(1) << 50);
    check(false, "a petabyte was allocated");
  } catch (const out_of_memory_error& e) {
    check(std::string(e.what()).find(std::to_string(int64_t(1) << 50) + " bytes are needed") !=
              std::string::npos,
          e.what());
    check(e.details.contains("free"), "the error has the free bytes");
  }
}

/// Fails the n-th allocation, launch or capture, for each n: the error has a code, and afterwards the same
/// program and the next one give the right results.
void programs_recover_from_failures(const std::shared_ptr<device>& on) {
  constexpr int64_t rows = 6;
  std::vector<float> in(static_cast<size_t>(rows * 24), 0.5f);
  const std::vector<float> right = block(on, rows).run(in);
  for (std::atomic<int>* countdown :
       {&emulator::failing_allocation, &emulator::failing_launch, &emulator::failing_capture}) {
    int failed = 0;
    for (int n = 1; n < 40; ++n) {
      *countdown = n;
      try {
        block made(on, rows);
        for (int run = 0; run < 3; ++run)
          check(made.run(in) == right, "a program despite failure " + std::to_string(n));
      } catch (const error& e) {
        ++failed;
        const std::string code = e.code;
        check(code == "ERR_EVACLIP_OUT_OF_MEMORY" || code == "ERR_EVACLIP_GPU", code);
        if (countdown == &emulator::failing_launch)
          check(std::string(e.what()).find(" (") != std::string::npos && e.details.contains("driver"),
                std::string("the op and its operands: ") + e.what());
      }
      if (countdown->exchange(0) > 0) break;
      check(block(on, rows).run(in) == right, "the program after failure " + std::to_string(n));
    }
    check(failed > 0 || countdown == &emulator::failing_capture, "a failure was injected");
  }
}

void failed_captures_are_reported(const std::shared_ptr<device>& on) {
  std::vector<float> in(6 * 24, 0.5f);
  block made(on, 6);
  const std::vector<float> right = made.run(in);
  emulator::failing_capture = 1;
  check(made.run(in) == right && made.run(in) == right, "a program without a capture");
  check(made.made->capture_failure().find("the capture was aborted") != std::string::npos,
        "the reason of the failed capture: " + made.made->capture_failure());
  emulator::failing_capture = 0;
}

void close_frees_all_memory(const std::shared_ptr<device>& on) {
  std::vector<float> in(6 * 24, 0.5f);
  block made(on, 6);
  for (int run = 0; run < 3; ++run) made.run(in);
  check(on->backend().workspace_bytes() > 0, "captured programs and workspaces are counted");
  on->backend().close();
  check(on->backend().workspace_bytes() == 0, "no workspace after close()");
  on->backend().close();
}

}  // namespace

int main() {
  const std::shared_ptr<backend> opened = cuda::open();
  check(opened->info().kind == "cuda", "info");
  copies_of_any_size_arrive(*opened);
  fill_passes_errors_on(*opened);
  too_much_memory_is_an_error(*opened);
  const auto on = std::make_shared<device>(opened);
  programs_agree_with_the_cpu(on);
  programs_recover_from_failures(on);
  failed_captures_are_reported(on);
  close_frees_all_memory(on);
  return status();
}
