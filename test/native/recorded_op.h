#pragma once

#include <memory>
#include <string>

#include "graph/graph.h"

namespace eva::test {

inline value_id output_of(const node& n, const std::string& field) {
  for (const slot& s : n.slots)
    if (s.how == access::write && field == s.field) return s.value;
  return no_value;
}

/// An op on the communication lane.
class communicating final : public op_application {
 public:
  explicit communicating(std::unique_ptr<op_application> op) : op_(std::move(op)) {}

  lane runs_on() const override { return lane::communication; }

  const char* name() const override { return op_->name(); }
  int index() const override { return op_->index(); }
  const void* args() const override { return op_->args(); }
  void set_attributes(const attribute_map& given) override { op_->set_attributes(given); }
  void set_operands(const std::string& field, const tensors& types) override {
    op_->set_operands(field, types);
  }
  void infer() override { op_->infer(); }
  std::vector<slot> slots() override { return op_->slots(); }
  double flops() const override { return op_->flops(); }

 private:
  std::unique_ptr<op_application> op_;
};

/// Moves a recorded op to the communication lane, whatever its own lane.
inline void move_to_communication(node& recorded) {
  recorded.op = std::make_unique<communicating>(std::move(recorded.op));
}

}  // namespace eva::test
