#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "runtime/device.h"

namespace eva {

/// Device memory for the inputs of later runs of a program: two sets of slots, so that one is filled while a
/// run reads the other. A staged_inputs holds one set; more of them wait until a set is given back.
class input_staging {
 public:
  struct input {
    value_id id;
    const void* bytes;
    int64_t size;
  };

  /// Of a program on this device; inputs of fewer bytes are not staged.
  input_staging(const std::shared_ptr<device>& on, int64_t least_bytes)
      : device_(on), least_bytes_(least_bytes) {}

  /// Stages from now on, if the device can. On the device's thread.
  void begin();
  /// Whether inputs of this size are staged; otherwise runs read them from host memory. After begin().
  bool takes(int64_t bytes) const { return has_lane_ && bytes >= least_bytes_; }

  /// Inputs that wait for a set fail. On the thread that closes the device.
  void end();
  /// Frees the slots; inputs can no longer be staged. When none of them waits or is filled.
  void release() noexcept;

 private:
  friend class staged_inputs;
  using slots = std::map<value_id, std::unique_ptr<input_slot>>;

  std::optional<size_t> try_take();
  void give_back(size_t set);
  bool has_ended();
  void make_slots(const device& on, std::span<const input> all);
  input_slot& slot_of(size_t set, value_id id);

  const std::weak_ptr<device> device_;
  const int64_t least_bytes_;
  bool has_lane_ = false;
  std::mutex mutex_;
  std::array<bool, 2> taken_{};
  bool ended_ = false;
  std::array<slots, 2> sets_;
};

/// Inputs of one later run, copied to the device beside its work.
class staged_inputs {
 public:
  explicit staged_inputs(std::shared_ptr<input_staging> of) : of_(std::move(of)) {}
  staged_inputs(const staged_inputs&) = delete;
  ~staged_inputs() { give_back(); }

  bool belong_to(const std::shared_ptr<input_staging>& program) const { return of_ == program; }

  /// Takes a set of slots: whether there was one, or fill() will fail. The condition of the job that fills.
  bool reserve();
  /// Copies the inputs, which have been read when it returns. On the lane's thread. Throws
  /// out_of_memory_error, and disposed_error if there was no set.
  void fill(std::span<const input_staging::input> all);
  /// Queues the copies to their places in front of a run, and gives the slots back. On the device's thread.
  template <class Address> void copy_to(const Address& address) {
    for (const value_id id : filled_) of_->slot_of(*set_, id).copy_to(address(id));
    give_back();
  }

 private:
  void give_back();

  const std::shared_ptr<input_staging> of_;
  std::optional<size_t> set_;
  std::vector<value_id> filled_;
};

}  // namespace eva
