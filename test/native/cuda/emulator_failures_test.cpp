// Injected failures: the n-th allocation, launch, capture or command on the device, for each n. The error has
// a code, and afterwards the same program and the next one give the right results, unless the device is lost.
#include "cuda/backend.h"
#include "failures.h"
#include "small_program.h"

namespace {

using namespace eva;
using namespace eva::test;

constexpr int64_t rows = 6;
const std::vector<float> in(size_t(rows * 24), 0.5f);

/// The code of what making and running a program throws; empty if its results are right.
std::string outcome(const std::shared_ptr<device>& on, const std::vector<float>& right) {
  try {
    small_program made(on, rows);
    for (int run = 0; run < 3; ++run)
      if (made.run(in) != right) return "wrong results in run " + std::to_string(run);
    return "";
  } catch (const error& e) {
    if (std::string(e.code) == "ERR_EVACLIP_GPU")
      check(e.details.contains("where") && e.details.contains("driver"), std::string("details: ") + e.what());
    return e.code;
  }
}

/// Whether the first n failures of `function` include one that a program cannot go on from.
bool programs_recover(const std::string& function, cudaError_t with, const std::string& code) {
  const auto on = std::make_shared<device>(cuda::open());
  const std::vector<float> right = small_program(on, rows).run(in);
  bool failed = false;
  for (int n = 1; n < 100; ++n) {
    on->backend().close();  // so that workspaces and slots are allocated again
    emulator::fail_nth(function, n, with);
    const std::string found = outcome(on, right);
    const bool all_done = emulator::withdraw_failure(function);
    const std::string what = function + " " + std::to_string(n);
    check(found.empty() || found == code, what + ": " + found);
    check(emulator::last_error() == cudaSuccess, what + " leaves an error for the next launch");
    check(outcome(on, right).empty(), "the program after " + what);
    failed = failed || !found.empty();
    if (all_done) return failed;
  }
  check(false, function + " is called without end");
  return failed;
}

void failed_captures_are_reported() {
  const auto on = std::make_shared<device>(cuda::open());
  small_program made(on, rows);
  const std::vector<float> right = made.run(in);
  emulator::fail_nth("cudaStreamEndCapture", 1, cudaErrorStreamCaptureInvalidated);
  check(made.run(in) == right && made.run(in) == right, "a program without a capture");
  check(made.made->capture_failure().find("previous error during capture") != std::string::npos,
        "the reason of the failed capture: " + made.made->capture_failure());
}

/// A failing command makes every later call fail, but memory can still be freed.
void a_lost_device_stays_lost() {
  const int before = emulator::alive();
  for (int n = 1;; n += 3) {
    const auto on = std::make_shared<device>(cuda::open());
    const std::vector<float> right = small_program(on, rows).run(in);
    emulator::fail_nth("command", n, cudaErrorIllegalAddress);
    const std::string what = "command " + std::to_string(n);
    const std::string first = outcome(on, right);
    if (emulator::withdraw_failure("command")) break;  // the program has fewer
    check(first == "ERR_EVACLIP_DEVICE_LOST", what + " loses the device");
    check(outcome(on, right) == "ERR_EVACLIP_DEVICE_LOST", "the device is still lost after " + what);
    on->backend().close();
    emulator::restore_device();
  }
  check(emulator::alive() == before, std::to_string(emulator::alive() - before) + " objects of lost devices");
}

}  // namespace

int main() {
  check(programs_recover("allocation", cudaErrorMemoryAllocation, "ERR_EVACLIP_OUT_OF_MEMORY"),
        "allocations");
  check(programs_recover("launch", cudaErrorInvalidValue, "ERR_EVACLIP_GPU"), "launches");
  check(programs_recover("cudaMemcpyAsync", cudaErrorInvalidValue, "ERR_EVACLIP_GPU"), "copies");
  check(programs_recover("cudaEventSynchronize", cudaErrorInvalidValue, "ERR_EVACLIP_GPU"), "waits");
  for (const char* function : {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"})
    check(!programs_recover(function, cudaErrorInvalidValue, ""), "captures have a fallback");
  failed_captures_are_reported();
  a_lost_device_stays_lost();
  return status();
}
