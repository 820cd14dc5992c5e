// Inputs staged beside the work of a device: in every order of the streams' commands, a run reads its own
// inputs; what waits for a slot, what an error leaves, and what is freed.
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <random>

#include "cuda/backend.h"
#include "cuda/staging.h"
#include "failures.h"
#include "graph/input_staging.h"
#include "memory_map.h"
#include "small_program.h"
#include "stream.h"

namespace {

using namespace eva;
using namespace eva::test;

constexpr int64_t rows = 6;
constexpr size_t elements = size_t(rows * 24);
/// Stages inputs of any size.
const program::options staging_all{.least_staged_bytes = 1};

std::vector<float> batch(int number) {
  std::mt19937 random(static_cast<uint32_t>(number));
  std::normal_distribution<float> normal;
  std::vector<float> values(elements);
  for (float& value : values) value = normal(random);
  return values;
}

std::shared_ptr<staged_inputs> staged_for(const small_program& of) {
  return std::make_shared<staged_inputs>(of.made->staging());
}

void fill(staged_inputs& staged, const small_program& of, const std::vector<float>& in) {
  const input_staging::input input{of.x, in.data(), int64_t(in.size() * sizeof(float))};
  staged.fill({&input, 1});
}

std::shared_ptr<staged_inputs> stage(const small_program& of, const std::vector<float>& in) {
  auto staged = staged_for(of);
  check(staged->reserve(), "a slot is free");
  fill(*staged, of, in);
  return staged;
}

std::string code_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const error& e) {
    return e.code;
  }
  return "";
}

/// The host never waits between these copies.
void slots_wait_for_each_other(backend& on, int64_t bytes) {
  constexpr int count = 4;
  const auto slot = on.make_input_slot(bytes);
  std::vector<std::vector<uint8_t>> received(count, std::vector<uint8_t>(size_t(bytes)));
  std::vector<void*> places;
  for (int i = 0; i < count; ++i) {
    places.push_back(on.allocate(bytes));
    slot->fill([&](int64_t begin, int64_t end, std::byte* to) {
      std::memset(to, 1 + i + int(begin / cuda::staging::slot_bytes) * count, size_t(end - begin));
    });
    slot->copy_to(places.back());
  }
  for (size_t i = 0; i < count; ++i) on.read(received[i].data(), places[i], bytes);
  on.finish();
  for (int i = 0; i < count; ++i)
    for (int64_t at = 0; at < bytes; at += cuda::staging::slot_bytes / 2)
      check(received[size_t(i)][size_t(at)] == 1 + i + int(at / cuda::staging::slot_bytes) * count,
            "copy " + std::to_string(i) + " at byte " + std::to_string(at));
  for (void* each : places) on.release(each, bytes);
}

void staged_runs_equal_plain_ones(const std::shared_ptr<device>& on) {
  small_program plain(on, rows), staging(on, rows, staging_all);
  std::vector<std::vector<float>> batches, right;
  for (int i = 0; i < 6; ++i) batches.push_back(batch(i)), right.push_back(plain.run(batches.back()));
  for (uint32_t seed = 0; seed < 40; ++seed) {
    emulator::set_seed(seed);
    auto next = stage(staging, batches[0]);
    for (size_t i = 0; i < batches.size(); ++i) {
      const auto present = std::exchange(next, nullptr);
      if (i + 1 < batches.size()) next = stage(staging, batches[i + 1]);
      if (i == 2) check(staging.run(batches[5]) == right[5], "a plain run between staged ones");
      if (i == 3 && seed == 7) small_program larger(on, 40 * rows);  // moves the arena
      check(staging.run(*present) == right[i],
            "batch " + std::to_string(i) + " with seed " + std::to_string(seed));
    }
  }
  emulator::set_seed(1);
  check(staging.made->capture_failure().empty(), staging.made->capture_failure());
}

/// Threads as the addon uses them: the lane copies while the device runs.
void lanes_run_beside_the_device(const std::shared_ptr<device>& on) {
  small_program plain(on, rows), staging(on, rows, staging_all);
  constexpr int count = 24;
  std::vector<std::vector<float>> batches, right;
  for (int i = 0; i < count; ++i) batches.push_back(batch(i)), right.push_back(plain.run(batches.back()));
  emulator::set_seed(3);
  std::vector<std::shared_ptr<staged_inputs>> staged;
  std::vector<std::promise<void>> filled(count);
  for (int i = 0; i < count; ++i) staged.push_back(staged_for(staging));
  for (size_t i = 0; i < count; ++i)  // all but two wait for a slot
    on->input_lane().post(
        [&, i] {
          fill(*staged[i], staging, batches[i]);
          filled[i].set_value();
        },
        [&, i] { return staged[i]->reserve(); });
  for (size_t i = 0; i < count; ++i) {
    if (filled[i].get_future().wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      check(false, "batch " + std::to_string(i) + " waits for a slot that is free");
      std::_Exit(status());  // the lane cannot be joined
    }
    std::promise<std::vector<float>> result;
    on->thread().post([&] { result.set_value(staging.run(*staged[i])); });
    check(result.get_future().get() == right[i], "batch " + std::to_string(i) + " of a lane");
  }
  emulator::set_seed(1);
}

void two_sets_are_staged_at_a_time(const std::shared_ptr<device>& on) {
  small_program staging(on, rows, staging_all);
  auto first = stage(staging, batch(1));
  const auto second = stage(staging, batch(2)), third = staged_for(staging);
  check(!third->reserve(), "a third waits");
  first.reset();
  check(third->reserve(), "until one that is not used gives its slots back");
  const auto fourth = staged_for(staging);
  check(!fourth->reserve(), "a fourth waits");
  small_program other(on, rows, staging_all);
  check(stage(other, batch(1)) != nullptr, "another program has slots of its own");
  check(!second->belong_to(other.made->staging()) && second->belong_to(staging.made->staging()), "owner");
  staging.made->staging()->end();
  check(fourth->reserve(), "it goes on when the program ends");
  check(code_of([&] { fill(*fourth, staging, batch(4)); }) == "ERR_EVACLIP_DISPOSED", "but cannot be filled");
}

void only_large_inputs_are_staged(const std::shared_ptr<device>& on) {
  small_program small(on, rows), all(on, rows, staging_all);
  check(!small.made->stages(small.x) && all.made->stages(all.x), "inputs");
  check(!all.made->stages(all.y), "an output is not an input");
  const auto cpu = std::make_shared<device>(cpu::open(1, ""));
  check(!small_program(cpu, rows, staging_all).made->stages(0), "a CPU reads inputs in place");
}

void slots_are_counted_and_freed(const std::shared_ptr<device>& on) {
  const int64_t before = on->backend().workspace_bytes();
  const auto grown = [&] { return on->backend().workspace_bytes() - before; };
  const auto bytes = int64_t(elements * sizeof(float));
  {
    small_program staging(on, rows, staging_all);
    auto staged = stage(staging, batch(1));
    check(grown() == 2 * bytes, "two slots are counted, not " + std::to_string(grown()));
    staged = stage(staging, batch(2));
    check(grown() == 2 * bytes, "and used again");
    staging.made->release();
    check(grown() == 0, "release frees them while inputs are staged");
  }
  small_program staging(on, rows, staging_all);
  int64_t taken = emulator::free_device_bytes() - bytes;
  emulator::reserve_device_bytes(taken);
  const auto staged = staged_for(staging);
  check(staged->reserve(), "a slot");
  try {
    fill(*staged, staging, batch(1));
    check(false, "memory for one slot of two");
  } catch (const out_of_memory_error& e) {
    check(
        e.details.at("needed") == std::to_string(2 * bytes) && e.details.at("free") == std::to_string(bytes),
        e.what());
  }
  check(grown() == 0, "nothing is kept");
  emulator::reserve_device_bytes(-taken);
  fill(*staged, staging, batch(1));
  check(staging.run(*staged) == staging.run(batch(1)), "with more memory");
}

/// After each failed call, the next inputs are staged and run.
void failures_end_one_run(const std::shared_ptr<device>& on) {
  const std::vector<float> in = batch(1), right = small_program(on, rows).run(in);
  for (const std::string function :
       {"allocation", "cudaEventCreate", "cudaMemcpyAsync", "cudaEventRecord", "cudaStreamWaitEvent"}) {
    const bool memory = function == "allocation";
    for (int n = 1;; ++n) {
      on->backend().close();  // so that pinned memory is allocated again
      small_program staging(on, rows, staging_all);
      emulator::fail_nth(function, n, memory ? cudaErrorMemoryAllocation : cudaErrorInvalidValue);
      const std::string code = code_of([&] { check(staging.run(*stage(staging, in)) == right, function); });
      const bool done = emulator::withdraw_failure(function);
      const std::string what = function + " " + std::to_string(n);
      check(code.empty() == done &&
                (done || code == (memory ? "ERR_EVACLIP_OUT_OF_MEMORY" : "ERR_EVACLIP_GPU")),
            what + ": " + code);
      check(emulator::last_error() == cudaSuccess, what + " leaves an error");
      const auto first = stage(staging, in), second = stage(staging, batch(2));
      check(staging.run(*first) == right, "the run after " + what);
      if (done) break;
      check(n < 50, function + " is called without end");
    }
  }
}

/// A device that is closed runs what was posted; one that is stopped drops it.
void devices_end_with_staged_inputs(bool stopped, bool after_copies) {
  const int before = emulator::alive();
  {
    const auto on = std::make_shared<device>(cuda::open());
    auto staging = std::make_shared<small_program>(on, rows, staging_all);
    const std::shared_ptr<program> made(std::move(staging->made));
    on->hold(made);
    std::vector<std::shared_ptr<staged_inputs>> staged;
    std::vector<std::string> codes(3, "dropped");
    std::vector<std::promise<void>> filled(codes.size());
    const std::vector<float> in = batch(1);
    const input_staging::input input{staging->x, in.data(), int64_t(elements * sizeof(float))};
    for (size_t i = 0; i < codes.size(); ++i)
      staged.push_back(std::make_shared<staged_inputs>(made->staging()));
    for (size_t i = 0; i < codes.size(); ++i) {
      const auto copy = [&, i] {
        codes[i] = code_of([&] { staged[i]->fill({&input, 1}); });
        filled[i].set_value();
      };
      on->input_lane().post(copy, [&, i] { return staged[i]->reserve(); });
    }
    for (const size_t i : {0, 1})
      if (after_copies) filled[i].get_future().wait();
    if (stopped) {
      on->stop();
    } else {
      std::promise<void> released;
      on->thread().post([&] {
        on->release();
        released.set_value();
      });
      on->close();
      released.get_future().wait();
      on->stop();
      check(codes[0].empty() && codes[1].empty(), "the first two are copied: " + codes[0] + codes[1]);
      check(codes[2] == "ERR_EVACLIP_DISPOSED", "the third waits for slots until the device ends");
    }
    check(!on->input_lane().post([] {}), "the lane has ended");
  }
  check(emulator::alive() == before, std::to_string(emulator::alive() - before) + " objects are left");
}

}  // namespace

int main() {
  const std::shared_ptr<backend> opened = cuda::open();
  for (uint32_t seed = 0; seed < 60; ++seed) {
    emulator::set_seed(seed);
    slots_wait_for_each_other(*opened, 100);
    if (seed < 4) slots_wait_for_each_other(*opened, 6 * cuda::staging::slot_bytes + 9);
  }
  emulator::set_seed(1);
  const auto on = std::make_shared<device>(opened);
  staged_runs_equal_plain_ones(on);
  lanes_run_beside_the_device(on);
  two_sets_are_staged_at_a_time(on);
  only_large_inputs_are_staged(on);
  slots_are_counted_and_freed(on);
  failures_end_one_run(on);
  for (const bool stopped : {false, true})
    for (const bool after_copies : {false, true}) devices_end_with_staged_inputs(stopped, after_copies);
  return status();
}
