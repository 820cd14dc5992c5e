#include "fiber.h"

#include <sys/mman.h>

#include <new>

extern "C" {
// Present only in sanitizer builds.
__attribute__((weak)) void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void* save, const void** bottom, size_t* size);
__attribute__((weak)) void __asan_unpoison_memory_region(const void* address, size_t size);

// Saves the callee-saved registers on the stack and the stack pointer in *save, and continues on the stack
// `load`.
void emulator_switch_stack(void** save, void* load);
}

asm(R"(
.text
.globl emulator_switch_stack
.type emulator_switch_stack, @function
emulator_switch_stack:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size emulator_switch_stack, .-emulator_switch_stack
)");

namespace eva::emulator {
namespace {

constexpr size_t guard_bytes = 4096, stack_bytes = 256 * 1024;

fiber* entering = nullptr;
void* owner_stack_pointer = nullptr;
const void* owner_stack = nullptr;
size_t owner_stack_bytes = 0;

}  // namespace

fiber::fiber() {
  void* memory =
      mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, guard_bytes, PROT_NONE);
  stack_ = static_cast<char*>(memory) + guard_bytes;
}

fiber::~fiber() {
  abandon();
  munmap(stack_ - guard_bytes, guard_bytes + stack_bytes);
}

void fiber::start(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  void** top = reinterpret_cast<void**>(stack_ + stack_bytes);
  *--top = nullptr;  // in place of a return address: keeps the ABI's stack alignment
  *--top = reinterpret_cast<void*>(&fiber::enter);
  stack_pointer_ = top - 6;  // six registers, with arbitrary values
}

void fiber::resume() {
  void* frames = nullptr;
  entering = this;
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&frames, stack_, stack_bytes);
  emulator_switch_stack(&owner_stack_pointer, stack_pointer_);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
}

void fiber::suspend() {
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(&sanitizer_frames_, owner_stack, owner_stack_bytes);
  emulator_switch_stack(&stack_pointer_, owner_stack_pointer);
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(sanitizer_frames_, &owner_stack, &owner_stack_bytes);
}

void fiber::enter() {
  fiber* self = entering;
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(nullptr, &owner_stack, &owner_stack_bytes);
  self->entry_(self->argument_);
  self->suspend();
}

void fiber::abandon() {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(stack_, stack_bytes);
}

}  // namespace eva::emulator
