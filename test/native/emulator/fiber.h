#pragma once
// Stackful coroutines on one OS thread (x86-64 System V), with AddressSanitizer's annotations if it is linked
// in.

#include <cstddef>

namespace eva::emulator {

class fiber {
 public:
  fiber();
  ~fiber();
  fiber(const fiber&) = delete;

  void start(void (*entry)(void*), void* argument);  // prepares the stack; the first resume() calls entry
  void resume();   // called by the owner: runs until suspend() or the end of entry
  void suspend();  // called by the fiber: returns to the owner
  void abandon();  // the frames on the stack will not be resumed

 private:
  static void enter();

  char* stack_;
  void* stack_pointer_ = nullptr;
  void* sanitizer_frames_ = nullptr;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace eva::emulator
