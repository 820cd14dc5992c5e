#pragma once
// Streams and events of the emulated device. Commands are queued, and run when the host waits for them or
// earlier, in one of the orders that CUDA allows; a seed chooses which.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace eva::emulator {

using command = std::function<void()>;

/// What cudaStream_t points to, also for other libraries.
class stream {
 public:
  virtual ~stream() = default;
  /// Queues the command, or adds it to the graph that the stream is being captured to.
  virtual void submit(command work) = 0;
  /// Whether all of the bytes are the device's.
  virtual bool can_access(const void* from, size_t bytes) const = 0;
  /// To be called by a command for the memory that it writes.
  virtual void wrote(const void* to, size_t bytes) const = 0;
};

class queue;
struct capture;

/// The end of the commands of a queue that were submitted so far; null: of none.
struct point {
  std::shared_ptr<queue> in;
  uint64_t count = 0;

  bool passed() const;
};

class queue final : public stream, public std::enable_shared_from_this<queue> {
 public:
  ~queue() override = default;

  void submit(command work) override;
  bool can_access(const void* from, size_t bytes) const override;
  void wrote(const void* to, size_t bytes) const override;
  /// The same for a caller that holds the device's lock. `after` must be passed before the command runs.
  void append(command work, const point& after = {});

  point end() { return {shared_from_this(), submitted_}; }
  bool has_run(uint64_t count) const { return count <= run_; }
  bool is_empty() const { return waiting_.empty(); }
  /// Whether the next command need not wait for another queue.
  bool can_run() const { return !waiting_.empty() && waiting_.front().after.passed(); }
  const point& awaited() const { return waiting_.front().after; }
  void run_next();
  void drop();

  std::shared_ptr<capture> recording{};  // the graph that the stream is being captured to
  std::vector<size_t> frontier{};        // the nodes of that graph which the next one follows

 private:
  struct entry {
    command work;
    point after;
  };
  std::deque<entry> waiting_;
  uint64_t submitted_ = 0, run_ = 0;
};

/// What cudaEvent_t points to.
struct event {
  using time = std::chrono::steady_clock::time_point;

  bool timed = false;
  point at{};
  std::shared_ptr<time> reached = std::make_shared<time>();
  std::shared_ptr<capture> recorded_in{};  // if it was recorded in a capture, after these nodes
  std::vector<size_t> frontier{};
};

/// Held by every call of the runtime: commands run in the thread that waits for them.
inline std::mutex device_lock;

/// Chooses the order. 0: each command runs as soon as it can; 1: as late as the host allows; others: at
/// random. EVA_CLIP_EMULATOR_SEED sets the first one, which is otherwise 1.
void set_seed(uint32_t seed);

std::shared_ptr<queue> open_queue();
/// Runs all its commands and removes it.
void close_queue(const std::shared_ptr<queue>& closed);
/// The queue of a cudaStream_t; the default stream's is null's.
queue& queue_of(stream* on);

/// Runs commands until the point is passed; other queues may make progress, too.
void run_until(const point& end);
void run_all();
/// Drops all commands, as an error of the device does.
void drop_all();

/// A random number below `count` that depends on the seed; 0 for the seeds 0 and 1.
size_t choose(size_t count);

}  // namespace eva::emulator
