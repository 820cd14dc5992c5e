// Invalid numbers of threads are errors, and so are more threads than the system can start.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits>

#include "check.h"
#include "core/error.h"
#include "cpu/dispatch/backend.h"

namespace eva::test {
namespace {

void numbers_out_of_range() {
  for (const int64_t threads : {int64_t(0), int64_t(-1), cpu::max_threads() + 1, int64_t(100000),
                                int64_t(1000000000), (int64_t(1) << 31), (int64_t(1) << 32) + 1,
                                std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    try {
      cpu::open(threads, "");
      check(false, std::to_string(threads) + " threads were accepted");
    } catch (const argument_error& e) {
      const std::string message = e.what();
      check(message.find("from 1 to " + std::to_string(cpu::max_threads())) != std::string::npos, message);
      check(message.find(std::to_string(threads)) != std::string::npos, message);
    }
  }
}

/// In a child process whose address space is too small for the stacks of that many threads: a limit that also
/// applies to root, unlike that of the number of processes.
void more_threads_than_the_system_can_start() {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit few{512 << 20, 512 << 20}, stack{64 << 20, 64 << 20};
    setrlimit(RLIMIT_STACK, &stack);
    setrlimit(RLIMIT_AS, &few);
    try {
      cpu::open(cpu::max_threads(), "")->enter_thread();
      _exit(1);
    } catch (const device_error& e) {
      _exit(e.details.at("needed") == std::to_string(cpu::max_threads()) ? 0 : 2);
    }
  }
  int result = 0;
  waitpid(child, &result, 0);
  check(WIFEXITED(result) && WEXITSTATUS(result) == 0, "threads beyond the address space");
}

void the_largest_number_works() {
  const auto on = cpu::open(cpu::max_threads(), "");
  on->enter_thread();
  check(on->info().threads == cpu::max_threads(), "the largest number of threads");
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  numbers_out_of_range();
  if (address_space_can_be_limited) more_threads_than_the_system_can_start();
  the_largest_number_works();
  return status();
}
