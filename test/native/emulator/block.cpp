#include "block.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "watched_memory.h"

extern "C" __attribute__((weak)) void __sanitizer_print_stack_trace();

namespace eva::emulator {
namespace {

constexpr size_t granule_bytes = 2;
constexpr int several_threads = -2;
block* current_block = nullptr;

std::string describe(location where) {
  const std::string path = where.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(where.line());
}

}  // namespace

block* running() { return current_block; }
block& current() { return *current_block; }

block::block(int threads, size_t shared_bytes)
    : warps_(threads / warp_size),
      shared_(std::make_unique<unsigned char[]>(shared_bytes)),
      shared_bytes_(shared_bytes),
      history_((shared_bytes + granule_bytes - 1) / granule_bytes) {
  if (threads % warp_size != 0)
    throw error("a block of " + std::to_string(threads) + " threads is not a whole number of warps");
  for (int i = 0; i < threads; ++i) threads_.push_back(std::make_unique<thread>());
}

void block::run(int block_index, int grid_blocks, const std::function<void()>& kernel) {
  block_index_ = block_index;
  grid_blocks_ = grid_blocks;
  kernel_ = &kernel;
  epoch_ = 0;
  barrier_ = {};
  std::fill(warps_.begin(), warps_.end(), warp{});
  std::fill(history_.begin(), history_.end(), history{});
  std::memset(shared_.get(), 0xff, shared_bytes_);  // NaN in bf16 and in f32
  for (auto& each : threads_) {
    each->now = state::ready;
    each->groups.assign(1, {});
    each->stack.start(thread_main, this);
  }
  for (bool progress = true; progress && failure_.empty();) {
    progress = false;
    const int last = block_threads() - 1;
    for (int first = 0; first < last; first += warp_size)  // each warp runs until it waits for other warps
      for (bool moved = true; moved && failure_.empty();) {
        moved = false;
        for (int i = first; i < first + warp_size && failure_.empty(); ++i) {
          running_ = reversed ? last - i : i;
          if (threads_[running_]->now != state::ready) continue;
          threads_[running_]->stack.resume();
          progress = moved = true;
        }
      }
  }
  const bool finished =
      std::all_of(threads_.begin(), threads_.end(), [](auto& t) { return t->now == state::finished; });
  if (failure_.empty() && !finished)
    failure_ = "deadlock in block " + std::to_string(block_index_) + ": " + waiting();
  if (failure_.empty()) return;
  for (auto& each : threads_) each->stack.abandon();
  throw error(failure_);
}

void block::thread_main(void* self) {
  block& b = *static_cast<block*>(self);
  thread& me = *b.threads_[b.running_];
  try {
    (*b.kernel_)();
    for (const auto& group : me.groups)
      if (!group.empty())
        b.fail("the thread ended without waiting for this asynchronous copy", group.front().where);
  } catch (const error& e) {
    b.failure_ = e.what();  // run() stops; the other fibers stay suspended and own nothing
  }
  me.now = state::finished;
}

void block::fail(const std::string& message, location where) {
  if (print_stack_traces && __sanitizer_print_stack_trace) __sanitizer_print_stack_trace();
  throw error(describe(where) + ": " + message + " [block " + std::to_string(block_index_) + ", thread " +
              std::to_string(running_) + "]");
}

// Suspends the running thread and returns false when it is resumed; returns true immediately for the last
// arrival.
bool block::arrive(rendezvous& here, int expected, state at, const char* name, void* operands,
                   location where) {
  thread& me = *threads_[running_];
  me.now = at;
  me.name = name;
  me.where = where;
  me.operands = operands;
  if (here.arrived++ == 0) here.where = where;
  if (here.where.line() != where.line() || here.where.column() != where.column() ||
      here.where.file_name() != where.file_name())
    fail("threads wait at different barriers or collectives: " + waiting(), where);
  if (here.arrived < expected) {
    me.stack.suspend();
    return false;
  }
  here.arrived = 0;
  return true;
}

std::string block::waiting() const {
  std::map<std::string, std::pair<int, std::string>> places;  // place → number of threads, their indices
  for (size_t i = 0; i < threads_.size(); ++i) {
    const thread& t = *threads_[i];
    const std::string place = t.now == state::finished ? "have ended"
                              : t.now == state::ready
                                  ? "have not arrived"
                                  : std::string("wait in ") + t.name + " at " + describe(t.where);
    auto& [count, numbers] = places[place];
    if (++count <= 4) numbers += (count == 1 ? "" : ",") + std::to_string(i);
    if (count == 5) numbers += ",…";
  }
  std::string text;
  for (const auto& [place, who] : places)
    text += (text.empty() ? "" : "; ") + std::to_string(who.first) + " threads (" + who.second + ") " + place;
  return text;
}

void block::block_barrier(location where) {
  if (!arrive(barrier_, block_threads(), state::at_block_barrier, "block_barrier", nullptr, where)) return;
  ++epoch_;
  for (auto& each : threads_) each->now = state::ready;
}

void block::warp_collective(const char* name, void* operands, operation apply, location where) {
  const int first = running_ / warp_size * warp_size;
  warp& mine = warps_[first / warp_size];
  if (!arrive(mine, warp_size, state::at_warp_collective, name, operands, where)) return;
  void* all[warp_size];
  for (int lane = 0; lane < warp_size; ++lane) {
    all[lane] = threads_[first + lane]->operands;
    threads_[first + lane]->now = state::ready;
  }
  if (apply)
    apply(all);
  else
    ++mine.epoch;
}

void block::warp_barrier(location where) { warp_collective("warp_barrier", nullptr, nullptr, where); }

void block::check_range(size_t offset, size_t bytes, location where) {
  if (offset + bytes > shared_bytes_)
    fail("shared memory out of bounds: bytes " + std::to_string(offset) + "…" +
             std::to_string(offset + bytes) + " of " + std::to_string(shared_bytes_),
         where);
  if (offset % bytes != 0) fail("misaligned shared access at byte " + std::to_string(offset), where);
}

void block::conflict(const char* mine, const char* other, int other_thread, location there, size_t offset,
                     location where) {
  fail(std::string("race on shared byte ") + std::to_string(offset) + ": this thread " + mine + ", " +
           (other_thread == several_threads ? "several threads" : "thread " + std::to_string(other_thread)) +
           " " + other + " it at " + describe(there) + " without a barrier in between",
       where);
}

void block::read(size_t offset, size_t bytes, void* destination, location where) {
  check_range(offset, bytes, where);
  const int own_warp = running_ / warp_size;
  const uint32_t warp_epoch = warps_[own_warp].epoch;
  for (size_t at = offset / granule_bytes; at * granule_bytes < offset + bytes; ++at) {
    history& h = history_[at];
    if (h.copying >= 0)
      fail("read of shared byte " + std::to_string(at * granule_bytes) + " before thread " +
               std::to_string(h.copying) + " has waited for its copy to it",
           where);
    if (h.writer < 0)
      fail("read of shared byte " + std::to_string(at * granule_bytes) + ", which is uninitialized", where);
    if (h.writer != running_ && h.write_epoch == epoch_ &&
        (h.writer / warp_size != own_warp || h.write_warp_epoch == warp_epoch))
      conflict("reads", "wrote", h.writer, h.written, at * granule_bytes, where);
    const bool same_step =
        h.read_epoch == epoch_ && h.reading_warps >> own_warp & 1 && h.read_warp_epoch == warp_epoch;
    if (h.read_epoch != epoch_) h.reading_warps = 0;
    h.reader = same_step && h.reader != running_ ? several_threads : running_;
    h.reading_warps |= 1u << own_warp;
    h.read_epoch = epoch_;
    h.read_warp_epoch = warp_epoch;
    h.read = where;
  }
  std::memcpy(destination, shared_.get() + offset, bytes);
}

void block::record_write(size_t offset, size_t bytes, location where) {
  const int own_warp = running_ / warp_size;
  const uint32_t warp_epoch = warps_[own_warp].epoch;
  for (size_t at = offset / granule_bytes; at * granule_bytes < offset + bytes; ++at) {
    history& h = history_[at];
    if (h.copying >= 0 && h.copying != running_)
      conflict("writes", "copies to", h.copying, h.written, at * granule_bytes, where);
    if (h.writer >= 0 && h.writer != running_ && h.write_epoch == epoch_ &&
        (h.writer / warp_size != own_warp || h.write_warp_epoch == warp_epoch))
      conflict("writes", "wrote", h.writer, h.written, at * granule_bytes, where);
    if (h.reading_warps && h.read_epoch == epoch_ &&
        (h.reading_warps & ~(1u << own_warp) || (h.reader != running_ && h.read_warp_epoch == warp_epoch)))
      conflict("writes", "read", h.reader, h.read, at * granule_bytes, where);
    h.writer = running_;
    h.write_epoch = epoch_;
    h.write_warp_epoch = warp_epoch;
    h.written = where;
  }
}

void block::write(size_t offset, size_t bytes, const void* source, location where) {
  check_range(offset, bytes, where);
  record_write(offset, bytes, where);
  std::memcpy(shared_.get() + offset, source, bytes);
}

void block::copy_async(size_t offset, const void* source, bool valid, location where) {
  check_range(offset, 16, where);
  pending_copy copy{offset, {}, where};
  if (valid && reinterpret_cast<uintptr_t>(source) % 16 != 0)
    fail("misaligned source of a 16-byte copy", where);
  if (valid) std::memcpy(copy.bytes, source, 16);
  record_write(offset, 16, where);
  std::memset(shared_.get() + offset, 0xff, 16);
  for (size_t at = 0; at < 16 / granule_bytes; ++at) history_[offset / granule_bytes + at].copying = running_;
  threads_[running_]->groups.back().push_back(copy);
}

void block::copy_commit() { threads_[running_]->groups.emplace_back(); }

void block::copy_wait(size_t pending_groups, location where) {
  auto& groups = threads_[running_]->groups;  // includes the open group, which does not count
  while (groups.size() - 1 > pending_groups) {
    for (const pending_copy& copy : groups.front()) {
      for (size_t at = 0; at < 16 / granule_bytes; ++at)
        history_[copy.offset / granule_bytes + at].copying = -1;
      write(copy.offset, 16, copy.bytes, where);
    }
    groups.erase(groups.begin());
  }
}

void run_grid(int grid_blocks, int block_threads, size_t shared_bytes, const std::function<void()>& kernel) {
  block one(block_threads, shared_bytes);
  const struct leave {
    ~leave() { current_block = nullptr; }
  } afterwards;
  current_block = &one;
  ldmatrix_bank_conflicts = 0;
  begin_watched_launch();
  for (int i = 0; i < grid_blocks; ++i) {
    one.run(reversed ? grid_blocks - 1 - i : i, grid_blocks, kernel);
    expect_watched();
  }
}

}  // namespace eva::emulator
