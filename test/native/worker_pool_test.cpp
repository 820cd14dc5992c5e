// Worker threads: jobs run at the same time, and none runs after stop().
#include "runtime/worker_pool.h"

#include <atomic>
#include <future>

#include "check.h"

namespace eva::test {
namespace {

void test_all_jobs_run() {
  worker_pool pool;
  constexpr int jobs = 1000;
  std::atomic<int> run = 0;
  std::promise<void> last;
  for (int i = 0; i < jobs; ++i)
    check(pool.post([&] {
      if (++run == jobs) last.set_value();
    }),
          "a job is taken");
  last.get_future().wait();
  check(run == jobs, "every job has run");
}

void test_stop() {
  worker_pool pool;
  std::promise<void> begun, released;
  std::atomic<bool> ended = false;
  pool.post([&] {
    begun.set_value();
    released.get_future().wait();
    ended = true;
  });
  begun.get_future().wait();
  auto stopping = std::async(std::launch::async, [&] { pool.stop(); });
  // Once it is stopping, the pool takes no job.
  while (pool.post([] {})) std::this_thread::yield();
  released.set_value();
  stopping.wait();
  check(ended, "stop() waits for the running job");
  check(!pool.post([] {}), "a stopped pool takes no job");
  pool.stop();
}

}  // namespace
}  // namespace eva::test

int main() {
  eva::test::test_all_jobs_run();
  eva::test::test_stop();
  return eva::test::status();
}
