// Integers out of range: every op that indexes with its inputs reports the first invalid one in a fixed
// order, whatever the order of threads. Programs, replayed or not, throw it when their results are read.
#include "cuda/index_fault.h"

#include "backend_pair.h"
#include "cuda/backend.h"
#include "graph/program.h"

namespace eva::test {
namespace {

/// The fault since the last call, "op: field[place] is value; …", or an empty string.
std::string found() {
  cuda::context& c = device_context();
  c.faults.fetch(c.stream);
  cuda::device::synchronize(c.stream);
  try {
    c.faults.check(c.stream);
  } catch (const data_error& e) {
    check(e.details.at("op") + ": " + e.details.at("field") ==
              std::string(e.what()).substr(0, e.details.at("op").size() + 2 + e.details.at("field").size()),
          std::string("details of ") + e.what());
    return e.what();
  }
  return "";
}

template <class Op> void expect_fault(const typename Op::args& inputs, const std::string& expected) {
  for (const bool reversed : {false, true}) {
    owned_args<Op> args(inputs, {});
    cuda::device::reverse_order(reversed);
    cuda::plan<Op>(args.all, device_context()).run(device_context());
    const std::string actual = found();
    check(actual == expected, std::string(Op::name) + ": \"" + actual + "\", not \"" + expected + "\"");
    check(found().empty(), std::string(Op::name) + ": it is reported once");
  }
  cuda::device::reverse_order(false);
}

void test_embedding() {
  const auto test = [](std::vector<int32_t> tokens, std::vector<int32_t> cu_seqlens,
                       const std::string& expected) {
    buffer table(dtype::f32, {11, 24}, 1), positions(dtype::f32, {5, 24}, 1), dy(dtype::f32, {9, 24}, 1);
    const tensor ids = view(tokens, {9}), starts = view(cu_seqlens, {int64_t(cu_seqlens.size())});
    const std::string rest = expected.empty() ? "" : ": " + expected;
    expect_fault<ops::embedding>(
        {.tokens = ids, .cu_seqlens = starts, .table = table, .positions = positions, .y = {}},
        expected.empty() ? "" : "embedding" + rest);
    expect_fault<ops::embedding_backward>({.dy = dy,
                                           .tokens = ids,
                                           .cu_seqlens = starts,
                                           .table = table,
                                           .positions = positions,
                                           .dtable = {},
                                           .dpositions = {}},
                                          expected.empty() ? "" : "embedding_backward" + rest);
  };
  const std::vector<int32_t> tokens{3, 10, 1, 0, 0, 0, 0, 0, 0};
  const std::string starts = "; expected ascending starts from 0 to at most 9, in steps of at most 5";
  test(tokens, {0, 4, 8, 9}, "");
  test({3, 10, 1, 0, 0, 0, 0, 99, -1}, {0, 4, 7}, "");  // padding may be anything
  test({3, 10, 11, 0, -5, 0, 0, 0, 0}, {0, 4, 8, 9}, "tokens[2] is 11; expected 0 … 10");
  test({3, -1, 11, 0, -5, 0, 0, 0, 0}, {0, 4, 8, 9}, "tokens[1] is -1; expected 0 … 10");
  test(tokens, {1, 4, 8, 9}, "cu_seqlens[0] is 1" + starts);
  test(tokens, {0, 0, 1, 7}, "cu_seqlens[3] is 7" + starts);
  test(tokens, {0, 4, 8, 10}, "cu_seqlens[3] is 10" + starts);
  test(tokens, {0, 4, 2, 7}, "cu_seqlens[2] is 2" + starts);
  test({3, -1, 1, 0, 0, 0, 0, 0, 0}, {0, 4, 8, 2147483647}, "cu_seqlens[3] is 2147483647" + starts);
}

void test_rows() {
  buffer x(dtype::bf16, {8, 16}, 1), dy(dtype::bf16, {4, 16}, 1);
  const auto test = [&](std::vector<int32_t> index, const std::string& expected) {
    const tensor rows = view(index, {4});
    const std::string rest = expected.empty() ? "" : ": index" + expected + "; expected 0 … 7";
    expect_fault<ops::gather_rows>({.x = x, .index = rows, .y = {}},
                                   rest.empty() ? "" : "gather_rows" + rest);
    expect_fault<ops::gather_rows_backward>({.dy = dy, .index = rows, .like = x, .dx = {}},
                                            rest.empty() ? "" : "gather_rows_backward" + rest);
  };
  test({0, 7, 7, 3}, "");
  test({0, 8, -1, 3}, "[1] is 8");
  test({0, 3, 2, -2147483648}, "[3] is -2147483648");
}

void test_patches() {
  const auto test = [](std::vector<int32_t> kept, const std::string& expected) {
    buffer images(dtype::f32, {2, 3, 12, 12}, 1), x(dtype::f32, {2, 2, 8}, 1), token(dtype::f32, {8}, 1);
    buffer positions(dtype::f32, {10, 8}, 1), dy(dtype::f32, {2, 3, 8}, 1);
    const tensor patches = view(kept, {2, 2});
    const auto message = [&](const std::string& op) {
      return expected.empty() ? "" : op + ": kept" + expected + "; expected 0 … 8";
    };
    expect_fault<ops::patch_rows>(
        {.images = images, .kept = patches, .y = {}, .patch_size = 4, .mean = {0, 0, 0}, .std = {1, 1, 1}},
        message("patch_rows"));
    expect_fault<ops::add_positions>(
        {.x = x, .class_token = token, .positions = positions, .kept = patches, .y = {}},
        message("add_positions"));
    expect_fault<ops::add_positions_backward>({.dy = dy,
                                               .class_token = token,
                                               .positions = positions,
                                               .kept = patches,
                                               .dx = {},
                                               .dclass_token = {},
                                               .dpositions = {}},
                                              message("add_positions_backward"));
  };
  test({8, 1, 0, 5}, "");
  test({8, 1, 9, -5}, "[2] is 9");
}

template <class Args> Args attention_of(tensor qkv, tensor cu_seqlens, tensor rope, tensor positions) {
  Args a{};
  a.qkv = qkv;
  a.cu_seqlens = cu_seqlens;
  a.rope = rope;
  a.positions = positions;
  a.heads = 2;
  return a;
}

void test_attention(dtype type, int64_t head_dim, std::vector<int32_t> integers, bool packed,
                    const std::string& expected) {
  const int64_t width = 2 * head_dim;
  const auto count = int64_t(integers.size());
  buffer qkv(type, packed ? shape{9, 3 * width} : shape{1, 1 + count, 3 * width}, 0.5f),
      rope(dtype::f32, {3, head_dim / 4, 2}, 1);
  buffer out(type, packed ? shape{9, width} : shape{1, 1 + count, width}, 0.5f);
  buffer log_sum(dtype::f32, packed ? shape{9, 2} : shape{1, 1 + count, 2}, 1);
  const tensor given = packed ? view(integers, {count}) : view(integers, {1, count});
  const auto inputs = [&]<class Args>(Args*) {
    return packed ? attention_of<Args>(qkv, given, {}, {}) : attention_of<Args>(qkv, {}, rope, given);
  };
  const auto message = [&](const std::string& op) { return expected.empty() ? "" : op + ": " + expected; };
  expect_fault<ops::attention>(inputs(static_cast<ops::attention::args*>(nullptr)), message("attention"));
  auto backward = inputs(static_cast<ops::attention_backward::args*>(nullptr));
  backward.dout = backward.out = out;
  backward.log_sum = log_sum;
  expect_fault<ops::attention_backward>(backward, message("attention_backward"));
}

value_id output_of(const node& n, const std::string& field) {
  for (const slot& s : n.slots)
    if (s.how == access::write && field == s.field) return s.value;
  return no_value;
}

/// A program that gathers rows and also updates a parameter with an independent gradient.
void test_program() {
  const auto on = std::make_shared<device>(cuda::open());
  const auto zero_parameter = [&] {
    const float zeros[2] = {};
    const auto made = std::make_shared<parameter>(on, dtype::f32, shape{2});
    made->write(reinterpret_cast<const std::byte*>(zeros));
    return made;
  };
  const auto weight = zero_parameter(), first = zero_parameter(), second = zero_parameter();
  const auto g = std::make_shared<graph>();
  const value_id x = g->input(dtype::f32, {3, 1}), index = g->input(dtype::i32, {2}),
                 gradient = g->input(dtype::f32, {2});
  const float one = 1;
  const int32_t step = 1;
  const value_id rows = output_of(g->apply("gather_rows", {{"x", {x}}, {"index", {index}}}, {}), "y");
  const value_id norm = output_of(g->apply("global_norm", {{"gradients", {gradient}}}, {}), "norm");
  g->apply("adamw_update",
           {{"parameters", {g->parameter(weight)}},
            {"gradients", {gradient}},
            {"first_moments", {g->parameter(first)}},
            {"second_moments", {g->parameter(second)}},
            {"norm", {norm}},
            {"learning_rates", {g->constant(dtype::f32, {1}, &one)}},
            {"step", {g->constant(dtype::i32, {}, &step)}}},
           {{"weight_decays", std::vector<double>{0}}});
  program made(on, g, {rows}, {});
  made.prepare();
  const auto weight_now = [&] {
    float values[2];
    weight->read(reinterpret_cast<std::byte*>(values));
    return values[0];
  };
  // Kernel by kernel, captured, replayed twice, and profiled.
  for (int run = 0; run < 5; ++run) {
    if (run == 4) made.start_profile(program::timed::kernels);
    const float values[3] = {5, 6, 7}, change[2] = {1, 1};
    for (const int32_t second_row : {3 + run, 1}) {
      const int32_t wanted[2] = {2, second_row};
      const program::source sources[] = {{x, values}, {index, wanted}, {gradient, change}};
      float result[2] = {};
      void* const results[] = {result};
      const float before = weight_now();
      const std::string what = "run " + std::to_string(run) + " of a program";
      try {
        made.run(sources, results);
        check(second_row == 1 && result[0] == 7 && result[1] == 6, what + " after a failed one");
        check(weight_now() < before, what + " updates its parameter");
      } catch (const data_error& e) {
        check(e.what() == "gather_rows: index[1] is " + std::to_string(3 + run) + "; expected 0 … 2",
              e.what());
        check(second_row != 1 && weight_now() == before, what + " that failed changes nothing");
      }
    }
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  using eva::dtype;
  test_embedding();
  test_rows();
  test_patches();
  const std::string starts = "; expected ascending starts from 0 to at most 9, in steps of at most 9";
  for (const auto& [type, head_dim] :
       std::initializer_list<std::pair<dtype, int>>{{dtype::f32, 12}, {dtype::bf16, 16}}) {
    test_attention(type, head_dim, {0, 3, 3, 9}, true, "");
    test_attention(type, head_dim, {0, 3, 2}, true, "cu_seqlens[2] is 2" + starts);
    test_attention(type, head_dim, {0, 3, 10}, true, "cu_seqlens[2] is 10" + starts);
    test_attention(type, head_dim, {1, 3, 4}, true, "cu_seqlens[0] is 1" + starts);
    test_attention(type, head_dim, {8, 0, 4}, false, "");
    test_attention(type, head_dim, {8, -1, 9}, false, "positions[1] is -1; expected 0 … 8");
  }
  test_program();
  return status();
}
