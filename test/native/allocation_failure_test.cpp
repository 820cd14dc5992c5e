// An allocation that fails during an op, also within a parallel region, is reported as an exception, and the
// next run is correct.
#include <atomic>
#include <cstdlib>
#include <new>

#include "op_test.h"

namespace {

std::atomic<bool> counting = false;
std::atomic<int> allocations_left = 0;

void* allocate(size_t bytes, size_t alignment) {
  if (counting && allocations_left.fetch_sub(1) <= 0) throw std::bad_alloc();
  const size_t rounded = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  if (void* memory = std::aligned_alloc(alignment, rounded)) return memory;
  throw std::bad_alloc();
}

}  // namespace

[[gnu::noinline]] void* operator new(size_t bytes) { return allocate(bytes, 16); }
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, size_t(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace eva::test {
namespace {

/// Runs a prepared op with its first allocation failing, then its second, until none fails. `size` grows each
/// time, so that the thread-local scratch is always too small.
template <class Op, class Make> void fail_everywhere(backend& on, const std::string& what, const Make& make) {
  int failed = 0;
  for (int allowed = 0; allowed < 100; ++allowed) {
    const auto problem = make(64 + 64 * allowed);
    const auto work = prepare<Op>(on, problem->args);
    allocations_left = allowed;
    counting = true;
    bool done = true;
    try {
      work->run();
    } catch (const std::bad_alloc&) {
      done = false;
    }
    counting = false;
    failed += done ? 0 : 1;
    work->run();
    check(problem->is_right(), what + " after " + std::to_string(allowed) + " allocations");
    if (done) break;
  }
  check(failed > 0, what + " allocates nothing: the test shows nothing");
}

/// SwiGLU with layer norm of all ones: every result is the bias.
struct swiglu_problem {
  explicit swiglu_problem(int64_t hidden)
      : x(dtype::f32, {300, 2 * hidden}, 1),
        weight(dtype::f32, {hidden}, 1),
        bias(dtype::f32, {hidden}, 2),
        y(dtype::f32, {300, hidden}),
        mean(dtype::f32, {300}),
        rstd(dtype::f32, {300}),
        args{x, weight, bias, y, mean, rstd, 1e-6f} {}
  bool is_right() const {
    bool right = true;
    for (int64_t i = 0; i < y.size(); ++i) right = right && std::abs(y[i] - 2) < 1e-3f;
    return right;
  }
  buffer x, weight, bias, y, mean, rstd;
  ops::swiglu::args args;
};

struct projection_problem {
  explicit projection_problem(int64_t inner)
      : x(dtype::f32, {300, inner}, 1),
        weight(dtype::f32, {5, inner}, 1),
        y(dtype::f32, {300, 5}),
        sum(float(inner)),
        args{x, weight, {}, y} {}
  bool is_right() const {
    bool right = true;
    for (int64_t i = 0; i < y.size(); ++i) right = right && y[i] == sum;
    return right;
  }
  buffer x, weight, y;
  float sum;
  ops::patch_projection::args args;
};

struct keep_problem {
  explicit keep_problem(int64_t tokens)
      : seed{1, 2},
        kept(size_t(64 * tokens)),
        args{view(seed, {2}), view(kept, {64, tokens}), 64, tokens, tokens} {}
  bool is_right() const {
    bool right = true;
    for (size_t i = 0; i < kept.size(); ++i) right = right && kept[i] == int32_t(i % size_t(args.tokens));
    return right;
  }
  std::vector<int32_t> seed, kept;
  ops::keep_tokens::args args;
};

template <class Problem> auto maker() {
  return [](int64_t size) { return std::make_unique<Problem>(size); };
}

void an_op(backend& on, const std::string& set) {
  fail_everywhere<ops::swiglu>(on, "swiglu " + set, maker<swiglu_problem>());
  fail_everywhere<ops::patch_projection>(on, "patch_projection " + set, maker<projection_problem>());
  fail_everywhere<ops::keep_tokens>(on, "keep_tokens " + set, maker<keep_problem>());
}

}  // namespace
}  // namespace eva::test

int main() { return eva::test::on_each_instruction_set(2, eva::test::an_op); }
