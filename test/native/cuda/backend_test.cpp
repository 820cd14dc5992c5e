// The backend as the addon opens it: whole programs, captured and replayed, compared with the CPU; copies
// larger than the staging ring; out of memory.
#include "cuda/backend.h"

#include <cstdio>
#include <cstring>
#include <future>
#include <random>

#include "cuda/device/runtime.h"
#include "cuda/staging.h"
#include "small_program.h"

namespace {

using namespace eva;
using namespace eva::test;

void programs_agree_with_the_cpu(const std::shared_ptr<device>& on) {
  constexpr int64_t rows = 6;
  auto reference = std::make_shared<device>(cpu::open(1, ""));
  small_program ours(on, rows), theirs(reference, rows);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> first;
  for (int run = 0; run < 4; ++run) {
    std::vector<float> in(static_cast<size_t>(rows * 24));
    for (float& value : in) value = normal(random);
    check(distance(ours.run(in), theirs.run(in)) < 1e-5, "run " + std::to_string(run) + " of a program");
    if (run == 2) small_program larger(on, 40 * rows);  // reallocates the arena
    if (run == 0) first = in;
  }
  const std::vector<float> replayed = ours.run(first);
  ours.made->start_profile(program::timed::kernels);
  check(ours.run(first) == replayed, "a replay gives the bits of a run kernel by kernel");
  check(ours.made->capture_failure().empty(), "it was captured: " + ours.made->capture_failure());
  for (const program::timing& timing : ours.made->profile())
    check(timing.calls == 1 && timing.seconds >= 0, "the profile of " + timing.op);
}

void copies_of_any_size_arrive(backend& on) {
  for (int64_t bytes : {int64_t(0), int64_t(1), cuda::staging::slot_bytes, 3 * cuda::staging::slot_bytes - 7,
                        19 * cuda::staging::slot_bytes + 13}) {
    std::vector<uint8_t> sent(static_cast<size_t>(bytes)), received(sent.size());
    // Not periodic in the size of a slot: a slot that is sent twice must differ.
    for (size_t i = 0; i < sent.size(); ++i)
      sent[i] = uint8_t(i * 7 + i / 4096 + i / size_t(cuda::staging::slot_bytes) * 31);
    void* memory = on.allocate(bytes);
    on.write(memory, sent.data(), bytes);
    on.read(received.data(), memory, bytes);
    on.finish();
    on.release(memory, bytes);
    check(sent == received, std::to_string(bytes) + " bytes there and back");
  }
}

/// More results than fit into one pinned block, read with one wait.
void many_results_arrive(backend& on) {
  constexpr int64_t bytes = cuda::staging::results_bytes / 3 + 5;
  std::vector<std::vector<uint8_t>> sent(7, std::vector<uint8_t>(size_t(bytes))), received = sent;
  std::vector<void*> memory;
  for (auto& each : sent) {
    for (size_t i = 0; i < each.size(); ++i) each[i] = uint8_t(i * (3 + memory.size()));
    memory.push_back(on.allocate(bytes));
    on.write(memory.back(), each.data(), bytes);
  }
  for (size_t i = 0; i < sent.size(); ++i) on.read(received[i].data(), memory[i], bytes);
  on.finish();
  for (void* each : memory) on.release(each, bytes);
  check(sent == received, "seven results");
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

/// Allocating may take long, so the thread that makes a parameter does not, but it learns of a lack of
/// memory.
void parameters_are_allocated_at_their_first_use(const std::shared_ptr<device>& on) {
  using cuda::device::free_bytes;
  const int64_t free = free_bytes(), quarter = free / 4 / int64_t(sizeof(float));
  const auto parameter_of = [&](int64_t count) { return parameter(on, dtype::f32, {count}); };
  constexpr int64_t count = int64_t(1) << 22;  // more than a driver may have left of an earlier block
  parameter used = parameter_of(count), first = parameter_of(quarter), second = parameter_of(quarter);
  check(free_bytes() == free, "nothing is allocated at first");
  const std::vector<float> sent(size_t(count), 3);
  std::vector<float> received(sent.size());
  used.write(reinterpret_cast<const std::byte*>(sent.data()));
  used.read(reinterpret_cast<std::byte*>(received.data()));
  check(sent == received, "a parameter is allocated at its first use");
  const int64_t left = free_bytes();
  check(left < free, "and only then");
  try {
    parameter_of(3 * quarter);
    check(false, "memory was promised twice");
  } catch (const out_of_memory_error& e) {
    check(e.details.at("needed") == std::to_string(12 * quarter), "needed: " + e.details.at("needed"));
    check(e.details.at("free") == std::to_string(left - 8 * quarter), "free: " + e.details.at("free"));
  }
  first.dispose();
  std::promise<void> disposed;
  on->thread().post([&] { disposed.set_value(); });
  disposed.get_future().wait();
  parameter_of(2 * quarter);  // is disposed at once
  second.view();
  check(free_bytes() <= left - 4 * quarter, "the second is allocated");
}

/// In the emulator, emulator_input_staging_test tries many orders of the lane's and the device's commands.
void staged_inputs_arrive(const std::shared_ptr<device>& on) {
  constexpr int64_t rows = 6;
  small_program plain(on, rows), staging(on, rows, {.least_staged_bytes = 1});
  const auto stage = [&](const std::vector<float>& in) {
    auto staged = std::make_shared<staged_inputs>(staging.made->staging());
    check(staged->reserve(), "a slot is free");
    const input_staging::input input{staging.x, in.data(), int64_t(in.size() * sizeof(float))};
    staged->fill({&input, 1});
    return staged;
  };
  const std::vector<float> first(size_t(rows * 24), 0.5f), second(first.size(), -2);
  for (int run = 0; run < 3; ++run) {
    const auto one = stage(first), two = stage(second);
    check(staging.run(*one) == plain.run(first), "the first staged batch");
    check(staging.run(*two) == plain.run(second), "the second staged batch");
  }
}

/// The optimizer's tables of addresses change when the arena moves; a capture must not contain their upload.
void tables_of_addresses_are_not_captured(bool is_beside) {
  const auto on = std::make_shared<device>(cuda::open());
  constexpr int64_t count = 10;
  const auto recorded = std::make_shared<graph>();
  const value_id x = recorded->input(dtype::f32, {count});
  const value_id norm = output_of(recorded->apply("global_norm", {{"gradients", {x}}}, {}), "norm");
  if (is_beside) move_to_communication(recorded->nodes().back());
  program made(on, recorded, std::vector<value_id>{norm}, program::options{});
  made.prepare();
  for (int run = 1; run <= 6; ++run) {
    const std::vector<float> in(static_cast<size_t>(count), float(run));
    float found = 0;
    const program::source source{x, in.data()};
    void* const results[] = {&found};
    made.run({&source, 1}, results);
    check(std::abs(found - float(run) * std::sqrt(float(count))) < 1e-4f, "norm " + std::to_string(run));
    check(made.capture_failure().empty(), made.capture_failure());
    if (run == 3) small_program larger(on, 1000);  // reallocates the arena
  }
}

void close_frees_all_memory(const std::shared_ptr<device>& on) {
  std::vector<float> in(6 * 24, 0.5f);
  small_program made(on, 6);
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
  many_results_arrive(*opened);
  fill_passes_errors_on(*opened);
  too_much_memory_is_an_error(*opened);
  const auto on = std::make_shared<device>(opened);
  programs_agree_with_the_cpu(on);
  parameters_are_allocated_at_their_first_use(on);
  staged_inputs_arrive(on);
  tables_of_addresses_are_not_captured(false);
  tables_of_addresses_are_not_captured(true);
  close_frees_all_memory(on);
  return status();
}
