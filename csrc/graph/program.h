#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "runtime/device.h"

namespace eva {

/// A recorded graph made ready for a device: dead ops removed, every value placed in the device's arena,
/// every kernel prepared. All members but the constructor and the counters run on the device's thread.
class program final : public device_resource {
 public:
  struct options {
    bool share_memory = true;  // values that are never alive together share bytes
  };
  struct timing {
    std::string op;
    int64_t calls = 0;
    double seconds = 0;
    double flops = 0;
  };

  /// Plans: cheap, touches no device memory.
  program(std::shared_ptr<device> on, std::shared_ptr<graph> recorded, std::vector<value_id> outputs,
          options);

  /// Takes memory and prepares the kernels; where it throws, everything taken has been given back.
  void prepare();

  /// Copies the inputs in, runs every kernel, copies the outputs out, in the order of the ids given. Throws
  /// when the device is closed meanwhile.
  struct source {
    value_id id;
    const void* bytes;
  };
  void run(std::span<const source> inputs, std::span<void* const> outputs);

  /// Nothing can be run afterwards.
  void release() noexcept override;

  /// From the next run on, every kernel is timed; a call forgets the timings so far.
  void start_profile();
  const std::vector<timing>& profile() const { return profile_; }

  const tensor& type_of(value_id id) const { return graph_->at(id).type; }
  const std::vector<value_id>& outputs() const { return outputs_; }
  int64_t arena_bytes() const { return plan_bytes_; }
  int64_t unshared_bytes() const { return unshared_bytes_; }
  size_t kernels() const { return order_.size(); }
  /// Why the device runs this program kernel by kernel and not as a captured whole; empty where it does not,
  /// or has not been asked to yet. From any thread.
  std::string capture_failure() const;
  const std::shared_ptr<device>& owner() const { return device_; }

 private:
  void keep_needed();
  void plan_memory(const options&);
  void bind();
  void* address(value_id id) const;
  void expect_free_memory() const;
  void place_fixed();
  void capture();
  void run_kernels();
  void run_one_by_one();
  void run_profiled();

  std::shared_ptr<device> device_;
  std::shared_ptr<graph> graph_;
  std::vector<value_id> outputs_;
  std::vector<node*> order_;
  std::vector<bool> read_;        // by value: somebody reads it
  std::vector<int64_t> offsets_;  // by value: in the arena, -1 when it is not there
  std::vector<device_memory> constants_;
  std::vector<void*> fixed_;                                // by value: address of parameters and constants
  std::vector<std::shared_ptr<device_memory>> parameters_;  // by value: kept alive
  std::vector<std::unique_ptr<kernel>> kernels_;
  std::unique_ptr<kernel> captured_;              // all of them in one, bound to where the arena is
  bool has_run_ = false, capture_tried_ = false;  // with the arena where it is
  mutable std::mutex capture_mutex_;
  std::string capture_failure_;
  std::vector<timing> profile_;
  bool profiling_ = false;
  int bound_generation_ = -1;
  int64_t plan_bytes_ = 0;
  int64_t unshared_bytes_ = 0;
};

}  // namespace eva
