#include "graph/op_table.h"

#include <cmath>

#include "ops/all_ops.h"

namespace eva {
namespace {

template <class T> constexpr bool is_list = std::is_same_v<T, tensors>;
template <class Field> using member_of = std::decay_t<decltype(std::declval<Field>().member)>;

template <template <class> class Kind, class Field> constexpr bool is_kind = false;
template <template <class> class Kind, class A> constexpr bool is_kind<Kind, Kind<A>> = true;

/// The name of a field's kind, and how the op accesses it, which means nothing for attributes.
template <class Field> constexpr std::pair<const char*, access> kind_of() {
  if constexpr (is_kind<ops::input, Field>) return {"input", access::read};
  if constexpr (is_kind<ops::optional_input, Field>) return {"optional_input", access::read};
  if constexpr (is_kind<ops::input_list, Field>) return {"input_list", access::read};
  if constexpr (is_kind<ops::output, Field>) return {"output", access::write};
  if constexpr (is_kind<ops::inout_list, Field>) return {"inout_list", access::update};
  if constexpr (is_kind<ops::scratch, Field>) return {"scratch", access::scratch};
  return {"attribute", access::read};
}

template <class Field> constexpr bool is_attribute = std::string_view(kind_of<Field>().first) == "attribute";
template <class Field>
constexpr bool is_operand = !is_attribute<Field> && (kind_of<Field>().second == access::read ||
                                                     kind_of<Field>().second == access::update);

[[noreturn]] void fail_attribute(const char* op, const std::string& field, const std::string& expected) {
  throw argument_error(std::string(op) + ": attribute " + field + " must be " + expected,
                       {{"op", op}, {"field", field}, {"expected", expected}});
}

template <class T> T number_of(const char* op, const std::string& field, double given) {
  if (std::is_integral_v<T> && (given != std::floor(given) || std::abs(given) > 9007199254740991.0))
    fail_attribute(op, field, "an integer");
  return T(given);
}

template <class T>
constexpr bool is_number_list =
    std::is_same_v<T, std::vector<float>> || std::is_same_v<T, std::vector<int64_t>>;

template <class T>
void assign(const char* op, const std::string& field, T& target, const attribute_value& given) {
  if constexpr (std::is_same_v<T, bool>) {
    if (const bool* flag = std::get_if<bool>(&given)) return void(target = *flag);
    fail_attribute(op, field, "a boolean");
  } else if constexpr (std::is_enum_v<T>) {
    std::string choices;
    for (size_t i = 0; i < ops::enum_names<T>.size(); ++i) {
      if (const auto* word = std::get_if<std::string>(&given); word && *word == ops::enum_names<T>[i])
        return void(target = T(i));
      choices += (i ? ", " : "") + std::string(ops::enum_names<T>[i]);
    }
    fail_attribute(op, field, "one of " + choices);
  } else if constexpr (is_number_list<T>) {
    const auto* list = std::get_if<std::vector<double>>(&given);
    if (!list) fail_attribute(op, field, "a list of numbers");
    target.clear();
    for (const double number : *list) target.push_back(number_of<typename T::value_type>(op, field, number));
  } else {
    const double* number = std::get_if<double>(&given);
    if (!number) fail_attribute(op, field, "a number");
    target = number_of<T>(op, field, *number);
  }
}

template <class Op> class application final : public op_application {
 public:
  explicit application(int index) : index_(index) {}

  const char* name() const override { return Op::name; }
  int index() const override { return index_; }
  const void* args() const override { return &args_; }

  void set_attributes(const attribute_map& given) override {
    size_t used = 0;
    ops::for_each_field<Op>([&]<class Field>(const Field& field) {
      if constexpr (is_attribute<Field>) {
        const auto found = given.find(field.name);
        if (found == given.end()) return;
        ++used;
        assign(Op::name, field.name, args_.*field.member, found->second);
      }
    });
    if (used == given.size()) return;
    for (const auto& [field, value] : given)
      if (!has_attribute(field)) throw argument_error(std::string(Op::name) + " has no attribute " + field);
  }

  void set_operands(const std::string& field_name, const tensors& types) override {
    bool found = false;
    ops::for_each_field<Op>([&]<class Field>(const Field& field) {
      if constexpr (is_operand<Field>) {
        if (field_name != field.name) return;
        found = true;
        set_field(field, types);
      }
    });
    if (!found) throw argument_error(std::string(Op::name) + " has no input " + field_name);
  }

  void infer() override {
    ops::for_each_field<Op>([&]<class Field>(const Field& field) {
      if constexpr (is_kind<ops::input, Field>)
        if (!(args_.*field.member).present())
          throw argument_error(std::string(Op::name) + ": " + field.name + " is required");
    });
    Op::infer(args_);
  }

  std::vector<slot> slots() override {
    std::vector<slot> found;
    ops::for_each_field<Op>([&]<class Field>(const Field& field) {
      if constexpr (!is_attribute<Field>) {
        auto& member = args_.*field.member;
        const access how = kind_of<Field>().second;
        if constexpr (is_list<std::decay_t<decltype(member)>>) {
          for (tensor& t : member) found.push_back({field.name, how, &t});
        } else {
          found.push_back({field.name, how, &member});
          if constexpr (is_kind<ops::output, Field>)
            if (field.from) found.back().from = &(args_.*field.from);
        }
      }
    });
    return found;
  }

  double flops() const override {
    if constexpr (requires { Op::flops(args_); })
      return Op::flops(args_);
    else
      return 0;
  }

  lane runs_on() const override {
    if constexpr (requires { Op::runs_on; })
      return Op::runs_on;
    else
      return lane::compute;
  }

 private:
  bool has_attribute(const std::string& wanted) const {
    bool found = false;
    ops::for_each_field<Op>([&]<class Field>(const Field& field) {
      if constexpr (is_attribute<Field>) found = found || wanted == field.name;
    });
    return found;
  }

  template <class Field> void set_field(const Field& field, const tensors& types) {
    auto& member = args_.*field.member;
    if constexpr (is_list<std::decay_t<decltype(member)>>) {
      member = types;
    } else {
      if (types.size() != 1)
        throw argument_error(std::string(Op::name) + ": " + field.name + " must be one tensor, not a list");
      member = types[0];
    }
  }

  int index_;
  typename Op::args args_;
};

struct entry {
  std::unique_ptr<op_application> (*make)(int index);
  op_schema (*schema)();
};

template <class Op> entry entry_of() {
  return {
      [](int index) -> std::unique_ptr<op_application> { return std::make_unique<application<Op>>(index); },
      [] {
        op_schema schema{Op::name, {}};
        ops::for_each_field<Op>([&]<class Field>(const Field& field) {
          schema.fields.emplace_back(field.name, kind_of<Field>().first);
        });
        return schema;
      }};
}

struct op_table {
  std::vector<entry> entries;
  std::map<std::string, int> index;
};

template <class... Op> op_table table_of(ops::op_list<Op...>) {
  op_table table{{entry_of<Op>()...}, {}};
  int position = 0;
  ((table.index[Op::name] = position++), ...);
  return table;
}

const op_table& table() {
  static const op_table all = table_of(ops::all_ops{});
  return all;
}

}  // namespace

std::unique_ptr<op_application> make_application(const std::string& op) {
  const auto found = table().index.find(op);
  if (found == table().index.end()) throw error("ERR_EVACLIP_UNKNOWN_OP", "unknown op " + op);
  return table().entries[size_t(found->second)].make(found->second);
}

std::vector<op_schema> op_schemas() {
  std::vector<op_schema> schemas;
  for (const entry& e : table().entries) schemas.push_back(e.schema());
  return schemas;
}

}  // namespace eva
