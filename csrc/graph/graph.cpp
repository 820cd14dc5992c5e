#include "graph/graph.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace eva {

bool node::has_effect() const {
  return std::any_of(slots.begin(), slots.end(), [](const slot& s) { return s.how == access::update; });
}

value_id graph::add(value v) {
  element_count(v.type.dims);  // throws for an invalid shape
  values_.push_back(std::move(v));
  return value_id(values_.size() - 1);
}

value_id graph::input(dtype type, shape dims) { return add({{type, std::move(dims)}, origin::input}); }

value_id graph::constant(dtype type, shape dims, const void* bytes) {
  value v{{type, std::move(dims)}, origin::constant};
  v.constant.resize(size_t(v.type.bytes()));
  std::memcpy(v.constant.data(), bytes, v.constant.size());
  return add(std::move(v));
}

value_id graph::parameter(const std::shared_ptr<eva::parameter>& p) {
  if (const auto found = parameters_.find(p.get()); found != parameters_.end()) return found->second;
  if (!p->memory()) throw disposed_error("the parameter");
  const tensor type = p->stored();
  const value_id id = add({.type = type, .from = origin::parameter, .parameter = p});
  parameters_[p.get()] = id;
  return id;
}

value_id graph::reshape(value_id from, shape dims) {
  const tensor& type = at(from).type;
  if (element_count(dims) != type.size())
    throw shape_error("reshape: cannot reshape " + to_string(type.dims) + " to " + to_string(dims),
                      {{"op", "reshape"}, {"expected", to_string(type.dims)}, {"actual", to_string(dims)}});
  return add({.type = {type.type, std::move(dims)}, .from = origin::view, .viewed = from});
}

value_id graph::rows(value_id from, int64_t begin, int64_t end) {
  tensor type = at(from).type;
  if (type.rank() == 0 || begin < 0 || begin > end || end > type.dims[0])
    throw shape_error("rows: " + to_string(type.dims) + " has no rows " + std::to_string(begin) + " … " +
                          std::to_string(end - 1),
                      {{"op", "rows"}, {"actual", to_string(type.dims)}});
  const int64_t row_bytes = type.dims[0] == 0 ? 0 : type.bytes() / type.dims[0];
  type.dims[0] = end - begin;
  return add({.type = type, .from = origin::view, .viewed = from, .offset = begin * row_bytes});
}

const graph::value& graph::at(value_id id) const {
  if (id < 0 || size_t(id) >= values_.size())
    throw argument_error("the graph has no value " + std::to_string(id));
  return values_[size_t(id)];
}

value_id graph::owner(value_id id) const {
  while (at(id).from == origin::view) id = at(id).viewed;
  return id;
}

const node& graph::apply(const std::string& op, const operand_map& operands,
                         const attribute_map& attributes) {
  node n{make_application(op), {}};
  n.op->set_attributes(attributes);
  for (const auto& [field, ids] : operands) {
    tensors types;
    for (value_id id : ids) types.push_back(id == no_value ? tensor{} : at(id).type);
    n.op->set_operands(field, types);
  }
  n.op->infer();
  n.slots = n.op->slots();
  assign_values(n, operands);
  nodes_.push_back(std::move(n));
  return nodes_.back();
}

void graph::assign_values(node& n, const operand_map& operands) {
  std::map<std::string, size_t> next;  // position within each operand field
  for (slot& s : n.slots) {
    if (s.how == access::write || s.how == access::scratch) {
      s.value = add({*s.place, origin::op});
      continue;
    }
    const auto given = operands.find(s.field);
    if (given == operands.end()) continue;
    s.value = given->second[next[s.field]++];
    if (s.how == access::update && s.value != no_value && at(s.value).from != origin::parameter)
      throw argument_error(
          std::string(n.op->name()) + ": " + s.field + " are updated in place, so they must be parameters",
          {{"op", n.op->name()}, {"field", s.field}});
  }
}

}  // namespace eva
