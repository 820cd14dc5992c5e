#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../op_test.h"
#include "../recorded_op.h"
#include "graph/program.h"

namespace eva::test {

/// A program of an MLP block, and the gradient of its last weight with dy = y.
struct small_program {
  small_program(const std::shared_ptr<device>& on, int64_t rows, program::options how = {})
      : columns_(24), hidden_(40) {
    std::mt19937 random(5);
    const auto parameter_of = [&](const shape& dims) {
      buffer values(dtype::f32, dims, random, 0.2f);
      const auto stored = std::make_shared<eva::parameter>(on, dtype::f32, dims);
      on->backend().write(stored->view().data, tensor(values).data, stored->view().bytes());
      return graph_->parameter(stored);
    };
    x = graph_->input(dtype::f32, {rows, columns_});
    const value_id weight = parameter_of({columns_}), bias = parameter_of({columns_});
    const value_id wide = parameter_of({hidden_, columns_}), narrow = parameter_of({columns_, hidden_});
    const value_id normal =
        output_of(graph_->apply("layer_norm", {{"x", {x}}, {"weight", {weight}}, {"bias", {bias}}}, {}), "y");
    const value_id inner = output_of(
        graph_->apply("linear", {{"x", {normal}}, {"weight", {wide}}}, {{"activation", std::string("gelu")}}),
        "y");
    y = output_of(graph_->apply("linear", {{"x", {inner}}, {"weight", {narrow}}, {"residual", {x}}}, {}),
                  "y");
    gradient =
        output_of(graph_->apply("linear_weight_gradient", {{"dy", {y}}, {"x", {inner}}}, {}), "dweight");
    made = std::make_unique<program>(on, graph_, std::vector<value_id>{y, gradient}, how);
    made->prepare();
  }

  std::vector<float> run(const std::vector<float>& in) {
    const program::source source{x, in.data()};
    return run({&source, 1}, nullptr);
  }
  std::vector<float> run(staged_inputs& staged) { return run({}, &staged); }

  value_id x, y, gradient;
  std::unique_ptr<program> made;

 private:
  std::vector<float> run(std::span<const program::source> inputs, staged_inputs* staged) {
    const auto count = size_t(made->type_of(y).bytes()) / sizeof(float);
    std::vector<float> all(count + size_t(columns_ * hidden_));
    void* const results[] = {all.data(), all.data() + count};
    made->run(inputs, results, staged);
    return all;
  }

  int64_t columns_, hidden_;
  std::shared_ptr<graph> graph_ = std::make_shared<graph>();
};

inline double distance(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double(actual[i]) - expected[i], 2);
    norm += std::pow(double(expected[i]), 2);
  }
  return std::sqrt(difference / norm);
}

}  // namespace eva::test
