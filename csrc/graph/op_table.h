#pragma once

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/lane.h"
#include "core/tensor.h"

namespace eva {

using value_id = int32_t;
inline constexpr value_id no_value = -1;

using attribute_value = std::variant<bool, double, std::string, std::vector<double>>;
using attribute_map = std::map<std::string, attribute_value>;

enum class access : uint8_t { read, write, update, scratch };

/// One tensor of an op application: its place in the op's args struct, and its value in the graph.
struct slot {
  const char* field;
  access how;
  tensor* place;
  value_id value = no_value;
  const tensor* from = nullptr;  // of an output computed from another: that one's place
};

/// Type-erased interface to one application of an op.
struct op_application {
  virtual ~op_application() = default;
  virtual const char* name() const = 0;
  /// Position in ops::all_ops, and in every backend's table.
  virtual int index() const = 0;
  virtual const void* args() const = 0;

  /// Throws argument_error for an unknown attribute or a value of the wrong kind.
  virtual void set_attributes(const attribute_map&) = 0;
  /// Sets the types of the tensors that field `name` reads or updates; absent ones have type none.
  virtual void set_operands(const std::string& name, const tensors& types) = 0;
  /// Throws argument_error if a required field was not set, then applies the op's shape rule.
  virtual void infer() = 0;
  /// All tensors of the op, lists flattened. The places are valid for the lifetime of this object.
  virtual std::vector<slot> slots() = 0;
  virtual double flops() const = 0;
  virtual lane runs_on() const = 0;
};

/// Throws error("ERR_EVACLIP_UNKNOWN_OP") if there is no such op.
std::unique_ptr<op_application> make_application(const std::string& op);

/// One op's declaration for JavaScript and the tests: field names with their kinds, in order.
struct op_schema {
  std::string name;
  std::vector<std::pair<std::string, std::string>> fields;
};
std::vector<op_schema> op_schemas();

}  // namespace eva
