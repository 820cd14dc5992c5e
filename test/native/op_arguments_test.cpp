// Ops with random shapes, types and attributes either fail with an error code or run; under a sanitizer,
// without accessing memory outside their tensors.
#include <cstring>

#include "graph/program.h"
#include "op_test.h"

namespace eva::test {
namespace {

class guess {
 public:
  guess(const std::shared_ptr<device>& on, unsigned seed) : on_(on), random_(seed) {}

  /// Records one op with random operands and attributes and runs it. Returns whether it was accepted.
  bool run(const op_schema& op) {
    try {
      record(op);
      execute();
      return true;
    } catch (const error& e) {
      check(std::strncmp(e.code, "ERR_EVACLIP_", 12) == 0, e.what());
      return false;
    }
  }

 private:
  int below(int count) { return int(random_() % unsigned(count)); }
  bool once_in(int count) { return below(count) == 0; }

  shape some_shape() {
    constexpr int64_t sizes[] = {1, 2, 2, 2, 4, 4, 4, 6, 0, 3};
    shape dims;
    for (int rank = once_in(8) ? 0 : 1 + below(3); rank > 0; --rank) dims.push_back(sizes[below(10)]);
    return dims;
  }
  dtype some_type() {
    if (once_in(6)) return once_in(2) ? dtype::i32 : dtype::u8;
    return narrow_ ? dtype::bf16 : dtype::f32;
  }
  /// Often of another operand's shape, or a similar one.
  shape related_shape() {
    if (shapes_.empty() || once_in(4)) return some_shape();
    shape dims = shapes_[size_t(below(int(shapes_.size())))];
    if (once_in(3) && !dims.empty()) dims.pop_back();
    if (once_in(4)) dims.push_back(2);
    if (once_in(4) && !dims.empty()) dims = {dims.back()};
    return dims;
  }

  value_id operand(bool changes) {
    shapes_.push_back(related_shape());
    const dtype type = changes ? dtype::f32 : some_type();
    if (changes) return graph_->parameter(std::make_shared<parameter>(on_, type, shapes_.back()));
    inputs_.push_back(graph_->input(type, shapes_.back()));
    return inputs_.back();
  }

  attribute_value attribute() {
    constexpr double numbers[] = {1, 1, 2, 2, 0, 4, -1, 0.5, 1e300, 9007199254740991.0};
    const char* const words[] = {"f32", "bf16", "gelu", "none", "apex", "xyz"};
    switch (below(6)) {
      case 0:
        return once_in(2);
      case 1:
        return std::string(words[below(6)]);
      case 2:
        return std::vector<double>(size_t(below(4)), numbers[below(10)]);
      default:
        return numbers[below(10)];
    }
  }

  void record(const op_schema& op) {
    narrow_ = once_in(3);
    operand_map operands;
    attribute_map attributes;
    for (const auto& [field, kind] : op.fields) {
      if (kind == "attribute") {
        if (!once_in(2)) attributes[field] = attribute();
      } else if (kind == "input_list" || kind == "inout_list") {
        for (int count = below(3); count > 0; --count) operands[field].push_back(operand(kind[2] == 'o'));
      } else if (kind == "input" || (kind == "optional_input" && once_in(2))) {
        if (!once_in(20)) operands[field] = {operand(false)};
      }
    }
    for (const slot& s : graph_->apply(op.name, operands, attributes).slots)
      if (s.how == access::write) outputs_.push_back(s.value);
  }

  void execute() {
    program made(on_, graph_, outputs_, {});
    made.prepare();
    std::vector<std::vector<std::byte>> memory;
    const auto host = [&](value_id id) {
      memory.emplace_back(size_t(made.type_of(id).bytes()));
      for (std::byte& each : memory.back()) each = std::byte(once_in(4) ? below(3) : 0);
      return memory.back().data();
    };
    std::vector<program::source> sources;
    for (const value_id id : inputs_) sources.push_back({id, host(id)});
    std::vector<void*> results;
    for (const value_id id : outputs_) results.push_back(host(id));
    made.run(sources, results);
  }

  std::shared_ptr<device> on_;
  std::mt19937 random_;
  bool narrow_ = false;
  std::shared_ptr<graph> graph_ = std::make_shared<graph>();
  std::vector<shape> shapes_;
  std::vector<value_id> inputs_, outputs_;
};

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva;
  using namespace eva::test;
  const auto on = std::make_shared<device>(cpu::open(2, ""));
  for (const op_schema& op : op_schemas()) {
    int accepted = 0;
    for (unsigned seed = 0; seed < 1000; ++seed) {
      accepted += guess(on, seed).run(op) ? 1 : 0;
    }
    std::printf("%s: %d accepted\n", op.name.c_str(), accepted);
  }
  return status();
}
