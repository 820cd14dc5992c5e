#pragma once
// Emulates a CUDA block on one OS thread. Every CUDA thread is a fiber; a barrier or a warp collective
// suspends it until its peers arrive. Behavior that is undefined on a GPU is an error that names the line:
//   a barrier or collective that only some threads reach, or that they reach at different lines;
//   a shared-memory access out of bounds, misaligned, of uninitialized bytes, or of a copy not waited for;
//   two threads that access the same shared bytes, at least one writing, without a barrier in between.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include "fiber.h"

namespace eva::emulator {

using location = std::source_location;

struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline constexpr int warp_size = 32;

class block {
 public:
  block(int threads, size_t shared_bytes);
  void run(int block_index, int grid_blocks, const std::function<void()>& kernel);

  int thread_index() const { return running_; }
  int block_index() const { return block_index_; }
  int block_threads() const { return static_cast<int>(threads_.size()); }
  int grid_blocks() const { return grid_blocks_; }

  void block_barrier(location where);
  void warp_barrier(location where);
  // Suspends the lane until all 32 lanes have arrived with their operands; the last one applies the operation
  // to all.
  using operation = void (*)(void* const operands[warp_size]);
  void warp_collective(const char* name, void* operands, operation apply, location where);

  void read(size_t offset, size_t bytes, void* destination, location where);
  void write(size_t offset, size_t bytes, const void* source, location where);
  void copy_async(size_t offset, const void* source, bool valid, location where);  // 16 bytes
  void copy_commit();
  void copy_wait(size_t pending_groups, location where);

  [[noreturn]] void fail(const std::string& message, location where);

 private:
  enum class state { ready, at_block_barrier, at_warp_collective, finished };

  struct pending_copy {
    size_t offset;
    unsigned char bytes[16];
    location where;
  };
  struct thread {
    fiber stack;
    state now;
    const char* name;  // of the barrier or collective at which it waits
    location where;
    void* operands;
    std::vector<std::vector<pending_copy>> groups;  // the last one is still open
  };
  struct rendezvous {  // of threads that wait for each other
    int arrived = 0;
    location where;  // of the first arrival
  };
  struct warp : rendezvous {
    uint32_t epoch = 0;  // counts warp barriers
  };
  // The last accesses to two bytes of shared memory, and their times as (block epoch, warp epoch).
  struct history {
    int writer = -1, reader = -1;
    uint32_t write_epoch = 0, write_warp_epoch = 0, read_epoch = 0, read_warp_epoch = 0;
    uint32_t reading_warps = 0;
    int copying = -1;  // the thread that has an asynchronous copy to them in flight
    location written, read;
  };

  bool arrive(rendezvous& here, int expected, state at, const char* name, void* operands, location where);
  void check_range(size_t offset, size_t bytes, location where);
  void record_write(size_t offset, size_t bytes, location where);
  void conflict(const char* mine, const char* other, int other_thread, location there, size_t offset,
                location where);
  std::string waiting() const;
  static void thread_main(void* self);

  std::vector<std::unique_ptr<thread>> threads_;
  std::vector<warp> warps_;
  rendezvous barrier_;
  std::unique_ptr<unsigned char[]> shared_;  // exactly shared_bytes, followed by AddressSanitizer's red zone
  size_t shared_bytes_;
  std::vector<history> history_;
  uint32_t epoch_ = 0;  // counts block barriers
  int running_ = 0, block_index_ = 0, grid_blocks_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  std::string failure_;
};

/// Whether a failing thread prints its stack trace, in sanitizer builds.
inline bool print_stack_traces = true;

/// Whether threads, warps and blocks run in reverse order. A correct kernel gives the same bits in both
/// orders.
inline bool reversed = false;

/// The block whose kernel is running; null if none is.
block* running();
block& current();

/// Bank conflicts of the last grid's ldmatrix instructions; 0 if every layout is free of conflicts.
inline long ldmatrix_bank_conflicts = 0;

void run_grid(int grid_blocks, int block_threads, size_t shared_bytes, const std::function<void()>& kernel);

}  // namespace eva::emulator
