#pragma once
// One CUDA block on one OS thread. Every CUDA thread is a fiber; a barrier or a warp collective parks it
// until its peers arrive. What real hardware leaves undefined is an error that names the line:
//   a collective or barrier that only some threads reach, or reach at different lines;
//   a shared-memory access out of bounds, misaligned, of bytes never written, or of a copy not waited for;
//   two threads that touch the same shared bytes, one writing, with no barrier between them.

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

inline constexpr int warp_lanes = 32;

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
  // Parks the lane until its 32 peers arrive with their operands; the last one applies the operation to all.
  using operation = void (*)(void* const operands[warp_lanes]);
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
    const char* name;  // of the collective it waits at
    location where;
    void* operands;
    std::vector<std::vector<pending_copy>> groups;  // the last one is still open
  };
  struct meeting {  // of the threads that wait for each other
    int arrived = 0;
    location where;  // of the first
  };
  struct warp : meeting {
    uint32_t epoch = 0;  // counts warp barriers
  };
  // Who touched two bytes of shared memory last, and when: (block epoch, warp epoch).
  struct history {
    int writer = -1, reader = -1;
    uint32_t write_epoch = 0, write_warp_epoch = 0, read_epoch = 0, read_warp_epoch = 0;
    uint32_t reading_warps = 0;
    int copying = -1;  // the thread with a copy in flight to here
    location written, read;
  };

  bool arrive(meeting& here, int expected, state at, const char* name, void* operands, location where);
  void check_range(size_t offset, size_t bytes, location where);
  void record_write(size_t offset, size_t bytes, location where);
  void conflict(const char* mine, const char* other, int other_thread, location there, size_t offset,
                location where);
  std::string waiting() const;
  static void thread_main(void* self);

  std::vector<std::unique_ptr<thread>> threads_;
  std::vector<warp> warps_;
  meeting barrier_;
  std::unique_ptr<unsigned char[]> shared_;  // exactly shared_bytes: the sanitizer's red zone follows
  size_t shared_bytes_;
  std::vector<history> history_;
  uint32_t epoch_ = 0;  // counts block barriers
  int running_ = 0, block_index_ = 0, grid_blocks_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  std::string failure_;
};

inline bool print_stack_traces = true;  // of a failing thread, in sanitizer builds

inline bool reversed =
    false;  // the other order of threads, warps and blocks: a correct kernel gives the same bits

block& current();  // the block whose kernel is running

// Extra passes over the banks that the last grid's matrix loads needed: 0 when every layout is conflict-free.
inline long matrix_bank_conflicts = 0;

void run_grid(int grid_blocks, int block_threads, size_t shared_bytes, const std::function<void()>& kernel);

}  // namespace eva::emulator
