// The emulated streams: what runs late, what waits for what, and what a capture does not allow.
#include <functional>

#include "../check.h"
#include "capture.h"
#include "cuda/device/launch.cuh"
#include "cuda/device/runtime.h"
#include "cuda/device/thread.cuh"
#include "failures.h"
#include "stream.h"

namespace {

using namespace eva;
using namespace eva::test;
using namespace eva::cuda::device;

__global__ void add_kernel(int* value, int more) {
  if (thread_index() == 0) *value += more;
}
__global__ void double_kernel(int* value) {
  if (thread_index() == 0) *value *= 2;
}
__global__ void sum_kernel(int* to, const int* from) {
  if (thread_index() == 0) *to += *from;
}
__global__ void __launch_bounds__(64) bounded_kernel() {}
template <int Warps> __global__ void __launch_bounds__(Warps* warp_size, 2) template_kernel() {}

void add(vector<int>& to, int more, stream on) { launch(add_kernel, 1, 32, 0, on, to.data(), more); }
void twice(vector<int>& value, stream on) { launch(double_kernel, 1, 32, 0, on, value.data()); }

void commands_run_late() {
  const stream on = make_stream();
  vector<int> value{1};
  add(value, 2, on);
  twice(value, on);
  check(value[0] == 1, "nothing has run yet");
  synchronize(on);
  check(value[0] == 6, "both have run, in order");

  pinned_buffer slot(sizeof(int));
  int& pinned = *static_cast<int*>(slot.data());
  pinned = 5;
  upload(value.data(), &pinned, sizeof pinned, on);
  pinned = 7;
  synchronize(on);
  check(value[0] == 7, "a copy from pinned memory reads it when it runs");

  int pageable = 5;
  upload(value.data(), &pageable, sizeof pageable, on);
  pageable = 7;
  synchronize(on);
  check(value[0] == 5, "a copy from pageable memory has read it");
  add(value, 1, on);
  download(&pageable, value.data(), sizeof pageable, on);
  check(pageable == 6, "a copy to pageable memory waits");

  event reached;
  download(&pinned, value.data(), sizeof pinned, on);
  reached.record(on);
  add(value, 1, on);
  check(pinned == 7, "no wait, no copy");
  reached.wait();
  check(pinned == 6 && value[0] == 6, "an event waits for what was queued before it");
  check(!failure_of([&] { upload(&pageable, &pinned, sizeof pinned, on); }).empty(),
        "an upload to host memory");
  synchronize(on);
  destroy(on);
}

/// The values that `body` leaves for many seeds.
std::vector<bool> outcomes(int values, const std::function<int()>& body) {
  std::vector<bool> found(static_cast<size_t>(values));
  for (uint32_t seed = 0; seed < 60; ++seed) {
    emulator::set_seed(seed);
    found[size_t(body())] = true;
  }
  emulator::set_seed(1);
  return found;
}

void events_order_streams() {
  const stream compute = make_stream(), copies = make_stream();
  cudaEvent_t ready;
  cudaEventCreateWithFlags(&ready, cudaEventDisableTiming);
  // (1 + 2) * 2 = 6, but 1 * 2 + 2 = 4 if the second stream runs first.
  const auto run = [&](bool waits) {
    vector<int> value{1};
    add(value, 2, copies);
    cudaEventRecord(ready, copies);
    if (waits) cudaStreamWaitEvent(compute, ready);
    twice(value, compute);
    synchronize(compute);
    synchronize(copies);
    return value[0];
  };
  const auto unordered = outcomes(8, [&] { return run(false); });
  check(unordered[4] && unordered[6], "without a wait both orders occur");
  const auto ordered = outcomes(8, [&] { return run(true); });
  check(!ordered[4] && ordered[6], "an event orders two streams");

  // A copy lane: the next input must not replace one that is still read.
  const auto lane = [&](bool waits) {
    vector<int> input{1}, sum{0};
    cudaEvent_t read;
    cudaEventCreateWithFlags(&read, cudaEventDisableTiming);
    launch(sum_kernel, 1, 32, 0, compute, sum.data(), input.data());
    cudaEventRecord(read, compute);
    if (waits) cudaStreamWaitEvent(copies, read);
    const int next = 3;
    upload(input.data(), &next, sizeof next, copies);
    synchronize(copies);
    synchronize(compute);
    cudaEventDestroy(read);
    return sum[0];
  };
  check(outcomes(4, [&] { return lane(false); })[3], "an input is replaced too early");
  check(!outcomes(4, [&] { return lane(true); })[3], "it is not if the copy lane waits");
  cudaEventDestroy(ready);
  destroy(compute);
  destroy(copies);
}

void graphs_keep_their_order() {
  const stream origin = make_stream(), side = make_stream();
  cudaEvent_t fork, join;
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  vector<int> value{1}, other{1};
  const auto queue = [&](bool joins) {
    add(value, 2, origin);
    cudaEventRecord(fork, origin);
    cudaStreamWaitEvent(side, fork);
    twice(value, side);
    cudaEventRecord(join, side);
    twice(other, origin);
    if (joins) cudaStreamWaitEvent(origin, join);
    add(value, 1, origin);
  };
  const recording graph = recording::of(origin, [&] { queue(true); });
  check(value[0] == 1, "a capture runs nothing");
  const auto found = outcomes(40, [&] {
    value[0] = other[0] = 1;
    graph.replay(origin);
    synchronize(origin);
    graph.replay(origin);
    synchronize(origin);
    return other[0] == 4 ? value[0] : 0;
  });
  check(found[19] && std::count(found.begin(), found.end(), true) == 1, "a graph keeps its dependencies");
  check(
      failure_of([&] { recording::of(origin, [&] { queue(false); }); }).find("unjoined") != std::string::npos,
      "work of another stream that the capture does not wait for");
  check(failure_of([&] {
          recording::of(origin, [&] {
            cudaEventRecord(fork, side);
            expect_success(cudaStreamWaitEvent(origin, fork));
          });
        }) != "",
        "a wait for work outside of the capture");
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  destroy(origin);
  destroy(side);
}

void captures_refuse_calls() {
  const stream on = make_stream();
  vector<int> value{1};
  int pageable = 1;
  pinned_buffer slot(sizeof(int));
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"device memory", [] { buffer(100); }},
      {"pinned memory", [] { pinned_buffer more(100); }},
      {"synchronize", [&] { synchronize(on); }},
      {"an upload from pageable memory", [&] { upload(value.data(), &pageable, sizeof(int), on); }},
      {"a download to pageable memory", [&] { download(&pageable, value.data(), sizeof(int), on); }},
      {"waiting for a captured event", [&] {
         event captured;
         captured.record(on);
         captured.wait();
       }}};
  for (const auto& [what, body] : calls) {
    check(!failure_of([&] { recording::of(on, body); }).empty(), std::string("a capture with ") + what);
    check(emulator::last_error() == cudaSuccess, std::string(what) + " leaves an error");
  }
  auto* freed = new buffer(100);
  check(!failure_of([&] { recording::of(on, [&] { delete freed; }); }).empty(),
        "a capture that frees memory");
  const recording legal = recording::of(on, [&] { upload(value.data(), slot.data(), sizeof(int), on); });
  *static_cast<int*>(slot.data()) = 9;
  legal.replay(on);
  synchronize(on);
  check(value[0] == 9, "an upload from pinned memory");
  destroy(on);
}

void launches_are_checked() {
  const stream on = make_stream();
  const auto refused = [&](auto kernel, int threads, int shared) {
    return failure_of([&] { launch(kernel, 1, threads, shared, on); });
  };
  check(refused(bounded_kernel, 64, 0).empty() && refused(template_kernel<7>, 224, 0).empty(),
        "within bounds");
  check(refused(bounded_kernel, 96, 0).find("launch bound is 64") != std::string::npos, "a launch bound");
  check(refused(template_kernel<7>, 256, 0).find("launch bound is 224") != std::string::npos,
        "a template's launch bound");
  check(refused(bounded_kernel, 64, current_properties().shared_bytes_per_block).empty(),
        "all shared memory");
  check(!refused(bounded_kernel, 64, current_properties().shared_bytes_per_block + 1).empty(),
        "one byte more");
  synchronize(on);
  destroy(on);
}

}  // namespace

int main() {
  emulator::set_seed(1);
  commands_run_late();
  events_order_streams();
  graphs_keep_their_order();
  captures_refuse_calls();
  launches_are_checked();
  return status();
}
