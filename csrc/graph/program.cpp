#include "graph/program.h"

#include <algorithm>

#include "core/error.h"
#include "graph/memory_plan.h"

namespace eva {

program::program(std::shared_ptr<device> on, std::shared_ptr<graph> recorded, std::vector<value_id> outputs,
                 options how)
    : device_(std::move(on)),
      graph_(std::move(recorded)),
      outputs_(std::move(outputs)),
      staging_(std::make_shared<input_staging>(device_, how.least_staged_bytes)) {
  hold_parameters();
  schedule_ = schedule::of(*graph_, eliminate_dead_ops());
  plan_memory(how);
}

void program::hold_parameters() {
  for (const auto& value : graph_->values()) {
    if (value.from != graph::origin::parameter) {
      parameters_.emplace_back();
      continue;
    }
    if (!value.parameter->memory()) throw disposed_error("a parameter of the program");
    parameters_.push_back(value.parameter->memory());
  }
}

// Dead op elimination, backward from the outputs and from the ops that update parameters.
std::vector<node*> program::eliminate_dead_ops() {
  std::vector<node*> order;
  read_.assign(graph_->values().size(), false);
  for (value_id id : outputs_) read_[size_t(graph_->owner(id))] = true;
  auto& nodes = graph_->nodes();
  for (auto n = nodes.rbegin(); n != nodes.rend(); ++n) {
    const bool wanted = std::any_of(n->slots.begin(), n->slots.end(), [&](const slot& s) {
      return s.how == access::write && read_[size_t(s.value)];
    });
    if (!wanted && !n->has_effect()) continue;
    for (const slot& s : n->slots) {
      if (s.how == access::read && s.value != no_value) read_[size_t(graph_->owner(s.value))] = true;
      if (s.from && read_[size_t(s.value)]) mark_written(*n, s.from);
    }
    order.push_back(&*n);
  }
  std::reverse(order.begin(), order.end());
  return order;
}

/// The output at `place` gets memory although nothing may read it: another output is computed from it.
void program::mark_written(const node& n, const tensor* place) {
  for (const slot& s : n.slots)
    if (s.place == place) read_[size_t(s.value)] = true;
}

void program::plan_memory(const options& how) {
  const auto& values = graph_->values();
  const auto& steps = schedule_.steps;
  const int end = int(steps.size());
  std::vector<lifetime> lives(values.size());
  std::vector<bool> in_arena(values.size(), false);
  auto begin = [&](value_id id, int step) {
    const auto i = size_t(id);
    in_arena[i] = true;
    lives[i] = {values[i].type.bytes(), step, step};
  };

  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].from == graph::origin::input && read_[i]) begin(value_id(i), -1);
  for (int step = 0; step < end; ++step) {
    const schedule::step& present = steps[size_t(step)];
    for (const slot& s : present.applied->slots) {
      if (s.value == no_value) continue;
      if (s.how == access::scratch || (s.how == access::write && read_[size_t(s.value)]))
        begin(s.value, step);
      int& last = lives[size_t(graph_->owner(s.value))].last;
      last = std::max(last, present.last_beside);
    }
  }
  for (value_id id : outputs_) lives[size_t(graph_->owner(id))].last = end;

  std::vector<lifetime> placed;
  std::vector<size_t> which;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!in_arena[i]) continue;
    placed.push_back(lives[i]);
    which.push_back(i);
    unshared_bytes_ += lives[i].bytes;
  }
  const memory_plan plan = eva::plan_memory(placed, how.share_memory);
  offsets_.assign(values.size(), -1);
  for (size_t i = 0; i < which.size(); ++i) offsets_[which[i]] = plan.offsets[i];
  plan_bytes_ = plan.bytes;
}

void program::prepare() {
  const int64_t arena_before = device_->arena().bytes();
  try {
    expect_free_memory();
    place_fixed();
    device_->reserve_arena(plan_bytes_);
    bind();
    staging_->begin();
    prepare_kernels();
  } catch (...) {
    drop_kernels();
    parameters_.clear();
    constants_.clear();
    if (device_->arena().bytes() != arena_before) device_->free_arena();
    throw;
  }
}

void program::prepare_kernels() {
  backend& target = device_->backend();
  const auto wait = [&](lane waiting) {
    auto& prepared = waits_[size_t(waiting)];
    if (!prepared) prepared = target.prepare_wait(waiting);
    if (prepared) launches_.push_back(prepared.get());
  };
  kernels_.reserve(schedule_.steps.size());
  for (const schedule::step& step : schedule_.steps) {
    const op_application& op = *step.applied->op;
    if (step.waits) wait(op.runs_on());
    kernels_.push_back(target.prepare(op.index(), op.args(), op.runs_on()));
    launches_.push_back(kernels_.back().get());
  }
  if (schedule_.waits_at_end) wait(lane::compute);
}

void program::drop_kernels() noexcept {
  captured_.reset();
  launches_.clear();
  kernels_.clear();
  for (auto& wait : waits_) wait.reset();
}

/// Checks the total, so that nothing is allocated unless all of it can be.
void program::expect_free_memory() const {
  int64_t bytes = std::max<int64_t>(0, plan_bytes_ - device_->arena().bytes());
  for (size_t i = 0; i < read_.size(); ++i)
    if (read_[i]) bytes += int64_t(graph_->values()[i].constant.size());
  device_->backend().expect_free(bytes);
}

void program::place_fixed() {
  const auto& values = graph_->values();
  fixed_.assign(values.size(), nullptr);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!read_[i] && values[i].from != graph::origin::parameter) continue;
    if (values[i].from == graph::origin::constant) {
      const auto bytes = int64_t(values[i].constant.size());
      constants_.emplace_back(device_->shared_backend(), bytes);
      device_->backend().write(constants_.back().data(), values[i].constant.data(), bytes);
      fixed_[i] = constants_.back().data();
    } else if (values[i].from == graph::origin::parameter) {
      fixed_[i] = parameters_[i]->data() + values[i].parameter->offset();
    }
  }
}

void program::release() noexcept {
  staging_->release();
  drop_kernels();
  constants_.clear();
  parameters_.clear();
}

bool program::stages(value_id id) const {
  return graph_->at(id).from == graph::origin::input && offsets_[size_t(id)] >= 0 &&
         staging_->takes(graph_->at(id).type.bytes());
}

void* program::address(value_id id) const {
  int64_t offset = 0;
  for (; graph_->at(id).from == graph::origin::view; id = graph_->at(id).viewed)
    offset += graph_->at(id).offset;
  const auto i = size_t(id);
  if (fixed_[i]) return static_cast<std::byte*>(fixed_[i]) + offset;
  return offsets_[i] < 0 ? nullptr : device_->arena().data() + offsets_[i] + offset;
}

void program::bind() {
  bound_generation_ = device_->arena_generation();
  captured_.reset();
  capture_tried_ = false;
  for (const auto& step : schedule_.steps)
    for (const slot& s : step.applied->slots)
      if (s.value != no_value) s.place->data = address(s.value);
}

void program::run(std::span<const source> inputs, std::span<void* const> outputs, staged_inputs* staged) {
  if (bound_generation_ != device_->arena_generation()) {
    device_->reserve_arena(plan_bytes_);
    bind();
  }
  backend& target = device_->backend();
  if (staged) staged->copy_to([this](value_id id) { return address(id); });
  for (const source& input : inputs)
    if (void* place = address(input.id)) target.write(place, input.bytes, type_of(input.id).bytes());
  try {
    run_steps();
  } catch (...) {
    // What the other lane has begun must not run beside a later program.
    if (const auto& wait = waits_[size_t(lane::compute)]) wait->run();
    throw;
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    target.read(outputs[i], address(outputs_[i]), type_of(outputs_[i]).bytes());
  target.finish();
}

void program::run_steps() {
  if (!profiled_)
    run_kernels();
  else if (*profiled_ == timed::kernels)
    run_profiled();
  else
    run_timed();
}

// A program that runs only once is not worth capturing, and the first run does the lazy loading that is not
// allowed during a capture.
void program::run_kernels() {
  if (has_run_ && !capture_tried_) capture();
  if (!captured_) return run_one_by_one();
  if (device_->thread().cancelled()) throw disposed_error("the device");
  captured_->run();
}

void program::capture() {
  capture_tried_ = true;
  captured_ = device_->backend().capture(launches_);
  const std::lock_guard lock(capture_mutex_);
  capture_failure_ = captured_ ? "" : device_->backend().capture_failure();
}

std::string program::capture_failure() const {
  const std::lock_guard lock(capture_mutex_);
  return capture_failure_;
}

void program::run_one_by_one() {
  for (kernel* each : launches_) {
    if (device_->thread().cancelled()) throw disposed_error("the device");
    each->run();
  }
  has_run_ = true;
}

}  // namespace eva
