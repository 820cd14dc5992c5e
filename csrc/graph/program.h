#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/input_staging.h"
#include "graph/schedule.h"
#include "runtime/device.h"

namespace eva {

/// A graph compiled for a device: dead ops eliminated, values placed in the device's arena, kernels prepared.
/// All members but the constructor and the accessors run on the device's thread.
class program final : public device_resource {
 public:
  struct options {
    bool share_memory = true;  // values with disjoint lifetimes share memory
    int64_t least_staged_bytes = int64_t(1) << 20;
  };
  struct timing {
    std::string op;
    int64_t calls = 0;
    double seconds = 0;
    double flops = 0;
  };

  /// Plans memory but allocates none.
  program(std::shared_ptr<device> on, std::shared_ptr<graph> recorded, std::vector<value_id> outputs,
          options);
  ~program() override { staging_->release(); }

  /// Allocates memory and prepares the kernels; on failure everything allocated is freed.
  void prepare();

  /// Copies the inputs to the device, runs all kernels and copies the outputs back, in the order of
  /// outputs(). `staged` holds further inputs. Throws disposed_error if the device is closed meanwhile.
  struct source {
    value_id id;
    const void* bytes;
  };
  void run(std::span<const source> inputs, std::span<void* const> outputs, staged_inputs* staged = nullptr);

  const std::shared_ptr<input_staging>& staging() const { return staging_; }
  /// Whether this value is an input to be staged; others are given to run. From any thread, after prepare().
  bool stages(value_id id) const;

  /// Frees everything; the program cannot run again.
  void release() noexcept override;

  /// Times every kernel, or all of them as one, from the next run on; discards earlier timings. As one, a
  /// captured program is replayed as without a profile.
  enum class timed { kernels, whole };
  void start_profile(timed);
  const std::vector<timing>& profile() const { return profile_; }

  const tensor& type_of(value_id id) const { return graph_->at(id).type; }
  const std::vector<value_id>& outputs() const { return outputs_; }
  int64_t arena_bytes() const { return plan_bytes_; }
  int64_t unshared_bytes() const { return unshared_bytes_; }
  size_t kernels() const { return schedule_.steps.size(); }
  /// Why this program runs kernel by kernel instead of as a captured graph; empty if it is captured or no
  /// capture was tried. From any thread.
  std::string capture_failure() const;
  const std::shared_ptr<device>& owner() const { return device_; }

 private:
  void hold_parameters();
  /// The ops that are needed, in their order.
  std::vector<node*> eliminate_dead_ops();
  void mark_written(const node& n, const tensor* place);
  void plan_memory(const options&);
  void prepare_kernels();
  void drop_kernels() noexcept;
  void bind();
  void* address(value_id id) const;
  void expect_free_memory() const;
  void place_fixed();
  void capture();
  void run_steps();
  void run_kernels();
  void run_one_by_one();
  void run_profiled();
  void run_timed();
  double time(size_t step);

  std::shared_ptr<device> device_;
  std::shared_ptr<graph> graph_;
  std::vector<value_id> outputs_;
  schedule schedule_;
  std::vector<bool> read_;        // per value: whether anything reads it
  std::vector<int64_t> offsets_;  // per value: in the arena, -1 if not there
  std::vector<device_memory> constants_;
  std::vector<void*> fixed_;  // per value: address of parameters and constants
  std::vector<std::shared_ptr<parameter_memory>> parameters_;  // per value: kept alive
  std::vector<std::unique_ptr<kernel>> kernels_;               // of the steps
  std::array<std::unique_ptr<kernel>, lane_count> waits_;  // of each lane for the other; null if it need not
  std::vector<kernel*> launches_;                          // the kernels and the waits between them
  std::unique_ptr<kernel> captured_;              // all kernels as one, at the arena's current address
  bool has_run_ = false, capture_tried_ = false;  // since the arena last moved
  mutable std::mutex capture_mutex_;
  std::string capture_failure_;
  std::shared_ptr<input_staging> staging_;
  std::vector<timing> profile_;
  std::optional<timed> profiled_;
  int bound_generation_ = -1;
  int64_t plan_bytes_ = 0;
  int64_t unshared_bytes_ = 0;
};

}  // namespace eva
