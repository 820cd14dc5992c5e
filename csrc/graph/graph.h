#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/op_table.h"
#include "runtime/parameter.h"

namespace eva {

/// The operands of an op by field: one value id per tensor, no_value for an absent entry of a list.
using operand_map = std::map<std::string, std::vector<value_id>>;

/// One recorded op.
struct node {
  std::unique_ptr<op_application> op;
  std::vector<slot> slots;

  /// Ops that update parameters run even if their outputs are unread.
  bool has_effect() const;
};

/// A computation being recorded: values, and the ops that compute them in the order of execution.
class graph {
 public:
  enum class origin : uint8_t { input, constant, parameter, op, view };

  struct value {
    tensor type;  // dtype and dims; data is null
    origin from = origin::op;
    value_id viewed = no_value;                           // of a view: the value that it views
    int64_t offset = 0;                                   // of a view: its first byte there
    std::shared_ptr<eva::parameter> parameter = nullptr;  // of a parameter
    std::vector<std::byte> constant = {};                 // of a constant
  };

  value_id input(dtype type, shape dims);
  value_id constant(dtype type, shape dims, const void* bytes);
  /// The same id for the same parameter.
  value_id parameter(const std::shared_ptr<eva::parameter>& p);
  /// A view of `from` with another shape of the same size.
  value_id reshape(value_id from, shape dims);
  /// A view of rows begin … end-1 of `from`, along its first dimension.
  value_id rows(value_id from, int64_t begin, int64_t end);
  /// Checks shapes and records the op; its slots hold the ids of its outputs.
  const node& apply(const std::string& op, const operand_map& operands, const attribute_map& attributes);

  const value& at(value_id id) const;
  /// Follows views to the value that owns the bytes.
  value_id owner(value_id id) const;

  const std::vector<value>& values() const { return values_; }
  std::vector<node>& nodes() { return nodes_; }

 private:
  value_id add(value v);
  void assign_values(node& n, const operand_map& operands);

  std::vector<value> values_;
  std::vector<node> nodes_;
  std::map<const eva::parameter*, value_id> parameters_;
};

}  // namespace eva
