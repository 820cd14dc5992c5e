// The memory plan: values alive at the same time never overlap, others share memory, and offsets are aligned.
#include "graph/memory_plan.h"

#include <random>

#include "check.h"

namespace {

using namespace eva::test;

bool alive_together(const eva::lifetime& a, const eva::lifetime& b) {
  return a.first <= b.last && b.first <= a.last;
}

bool overlap(const eva::memory_plan& plan, const std::vector<eva::lifetime>& values, size_t a, size_t b) {
  return plan.offsets[a] < plan.offsets[b] + values[b].bytes &&
         plan.offsets[b] < plan.offsets[a] + values[a].bytes;
}

void random_programs_are_sound() {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<eva::lifetime> values(1 + random() % 60);
    for (auto& value : values) {
      value.bytes = int64_t(random() % 5000);
      value.first = int(random() % 30);
      value.last = value.first + int(random() % 10);
    }
    const auto plan = eva::plan_memory(values, true);
    for (size_t a = 0; a < values.size(); ++a) {
      check(plan.offsets[a] % 256 == 0, "offsets are aligned to 256 bytes");
      check(plan.offsets[a] + values[a].bytes <= plan.bytes, "values are inside the arena");
      for (size_t b = 0; b < a; ++b)
        if (alive_together(values[a], values[b]))
          check(!overlap(plan, values, a, b), "live values do not overlap");
    }
  }
}

void a_chain_needs_two_places() {
  std::vector<eva::lifetime> chain;
  for (int step = 0; step < 100; ++step) chain.push_back({1024, step, step + 1});
  check(eva::plan_memory(chain, true).bytes == 2048, "a chain of equal values needs the memory of two");
  check(eva::plan_memory(chain, false).bytes == 102400, "without sharing every value has its own memory");
}

}  // namespace

int main() {
  random_programs_are_sound();
  a_chain_needs_two_places();
  return status();
}
