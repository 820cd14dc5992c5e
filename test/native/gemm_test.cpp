// GEMMs of every engine and instruction set of this processor against double-precision sums: forms, odd
// sizes, strides, epilogues and numbers of threads.
#include <omp.h>

#include <array>
#include <optional>

#include "core/error.h"
#include "cpu/dispatch/instruction_set.h"
#include "instruction_sets.h"
#include "op_test.h"

namespace eva::test {
namespace {

using cpu::gemm_engine;
using cpu::gemm_spec;
using ops::activation;

struct problem {
  int64_t rows, columns, depth;
  dtype type = dtype::f32, result = dtype::f32;
  bool transpose_a = false, transpose_b = false;
  int64_t padding = 0;  // elements between the rows of all matrices
  bool bias = false, addend = false, accumulate = false, pre = false;
  activation act = activation::none;
  int64_t batch = 1;
};

std::string describe(const problem& p) {
  std::string text = std::to_string(p.rows) + " x " + std::to_string(p.columns) + " x " +
                     std::to_string(p.depth) + " " + std::string(to_string(p.type)) + " to " +
                     std::string(to_string(p.result));
  for (const auto& [name, is] : {std::pair{"aᵀ", p.transpose_a},
                                 {"bᵀ", p.transpose_b},
                                 {"bias", p.bias},
                                 {"addend", p.addend},
                                 {"accumulate", p.accumulate},
                                 {"pre", p.pre}})
    if (is) text += std::string(", ") + name;
  return text + ", activation " + std::to_string(int(p.act)) + ", padding " + std::to_string(p.padding) +
         ", batch " + std::to_string(p.batch);
}

double activate(double x, activation act) {
  if (act == activation::gelu) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  if (act == activation::quick_gelu) return x / (1 + std::exp(-1.702 * x));
  return x;
}

matrix_layout layout(dtype type, int64_t rows, int64_t columns, bool exchanged, const problem& p) {
  matrix_layout m = exchanged ? transposed(column_slice(type, columns, rows, rows + p.padding))
                              : column_slice(type, rows, columns, columns + p.padding);
  m.batch = p.batch;
  m.batch_stride = (exchanged ? columns : rows) * ((exchanged ? rows : columns) + p.padding);
  return m;
}

int64_t size_of_all(const matrix_layout& m) { return m.batch * m.batch_stride; }
int64_t position(const matrix_layout& m, int64_t n, int64_t i, int64_t j) {
  return n * m.batch_stride + i * m.row_stride + j * m.column_stride;
}

/// A problem with its operands and the expected results, computed once for all engines.
struct worked_problem {
  explicit worked_problem(const problem& given) : p(given) {
    spec = {.a = layout(p.type, p.rows, p.depth, p.transpose_a, p),
            .b = layout(p.type, p.depth, p.columns, p.transpose_b, p),
            .c = layout(p.result, p.rows, p.columns, false, p),
            .bias = p.bias,
            .activation = p.act,
            .accumulate = p.accumulate,
            .pre = p.pre};
    if (p.addend) spec.addend = spec.c;
    std::mt19937 random(7);
    const float deviation = 1 / std::sqrt(float(p.depth));
    a = buffer(p.type, {size_of_all(spec.a)}, random, 1);
    b = buffer(p.type, {size_of_all(spec.b)}, random, deviation);
    before = buffer(p.result, {size_of_all(spec.c)}, random, 1);
    addend = buffer(p.result, {size_of_all(spec.c)}, random, 1);
    bias = buffer(dtype::f32, {p.columns}, random, 1);
    work();
  }

  void work() {
    // The padding of c keeps its values.
    for (int64_t i = 0; i < before.size(); ++i) expected.push_back(before[i]);
    expected_pre = expected;
    for (int64_t n = 0; n < p.batch; ++n)
      for (int64_t i = 0; i < p.rows; ++i)
        for (int64_t j = 0; j < p.columns; ++j) {
          double sum = p.bias ? bias[j] : 0;
          for (int64_t k = 0; k < p.depth; ++k)
            sum += double(a[position(spec.a, n, i, k)]) * b[position(spec.b, n, k, j)];
          const auto at = size_t(position(spec.c, n, i, j));
          expected_pre[at] = sum;
          expected[at] = activate(sum, p.act) + (p.addend ? addend[int64_t(at)] : 0) +
                         (p.accumulate ? before[int64_t(at)] : 0);
        }
  }

  problem p;
  gemm_spec spec;
  buffer a, b, before, addend, bias;
  std::vector<double> expected, expected_pre;
};

constexpr std::pair<gemm_engine, const char*> engines[] = {{gemm_engine::automatic, "automatic"},
                                                           {gemm_engine::fma, "fma"},
                                                           {gemm_engine::dot, "dot"},
                                                           {gemm_engine::amx, "amx"},
                                                           {gemm_engine::onednn, "oneDNN"}};

/// The result with 1, 2 and 3 threads.
void test_engine(const cpu::instruction_set& set, gemm_spec spec, const std::string& where,
                 worked_problem& w) {
  // A sum of products of bf16 is as exact as one of f32.
  const double allowed = tolerance(w.p.result);
  std::optional<buffer> first;
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    std::unique_ptr<cpu::prepared_gemm> gemm;
    try {
      gemm = set.prepare_gemm(spec);
    } catch (const device_error&) {
      return;
    }
    buffer c = w.before, pre = w.before;
    gemm->run({tensor(w.a).data, tensor(w.b).data, tensor(c).data, tensor(w.bias).as<float>(),
               tensor(w.addend).data, tensor(pre).data});
    const std::string what = where + ", " + std::to_string(threads) + " threads: " + describe(w.p);
    check(relative_error(c, w.expected) < allowed, what);
    if (w.p.pre) check(relative_error(pre, w.expected_pre) < allowed, "pre of " + what);
    if (spec.engine == gemm_engine::onednn || spec.engine == gemm_engine::automatic) continue;
    if (!first) first = c;
    check(c == *first, "the number of threads changes bits: " + what);
  }
}

void test(const problem& p) {
  worked_problem w(p);
  for_each_instruction_set([](const char* name) { cpu::choose(name); },
                           [&](const char* name) {
                             for (const auto& [engine, engine_name] : engines) {
                               if (engine == gemm_engine::onednn && p.pre) continue;
                               gemm_spec spec = w.spec;
                               spec.engine = engine;
                               test_engine(cpu::choose(name), spec, std::string(name) + " " + engine_name, w);
                             }
                           });
}

void test_forms() {
  const std::vector<std::array<int64_t, 3>> sizes{{1, 1, 1},     {7, 15, 17},  {31, 33, 100}, {100, 31, 7},
                                                  {15, 100, 33}, {17, 1, 589}, {1, 100, 589}, {33, 17, 31}};
  const std::vector<std::pair<dtype, dtype>> types{
      {dtype::f32, dtype::f32}, {dtype::bf16, dtype::bf16}, {dtype::bf16, dtype::f32}};
  for (const auto& [m, n, k] : sizes)
    for (const auto& [type, result] : types)
      for (int form = 0; form < 4; ++form)
        test({.rows = m,
              .columns = n,
              .depth = k,
              .type = type,
              .result = result,
              .transpose_a = (form & 1) != 0,
              .transpose_b = (form & 2) != 0,
              .padding = form % 3});
}

void test_epilogues() {
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    problem p{.rows = 33, .columns = 47, .depth = 70, .type = type, .result = type, .transpose_b = true};
    test([&] {
      auto q = p;
      q.bias = true;
      return q;
    }());
    test([&] {
      auto q = p;
      q.bias = q.addend = true;
      q.padding = 3;
      return q;
    }());
    test([&] {
      auto q = p;
      q.accumulate = true;
      return q;
    }());
    for (const activation act : {activation::gelu, activation::quick_gelu}) {
      problem q = p;
      q.act = act;
      q.bias = true;
      test(q);
      q.addend = q.pre = true;
      test(q);
    }
    p.batch = 3;
    test(p);
  }
}

/// More than one block of rows, of columns and of K.
void test_blocks() {
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    test({.rows = 589, .columns = 100, .depth = 1100, .type = type, .result = type, .transpose_b = true});
    test({.rows = 70, .columns = 70, .depth = 5000, .type = type, .transpose_a = true, .accumulate = true});
    test({.rows = 300,
          .columns = 70,
          .depth = 2300,
          .type = type,
          .bias = true,
          .addend = true,
          .pre = true,
          .act = activation::gelu});
    test({.rows = 70, .columns = 2200, .depth = 150, .type = type, .result = type, .batch = 2});
  }
}

void test_corners() {
  const auto& set = cpu::choose("");
  const matrix_layout none = dense(dtype::f32, 0, 3);
  set.prepare_gemm({.a = none, .b = dense(dtype::f32, 3, 3), .c = none})->run({nullptr, nullptr, nullptr});
  try {
    set.prepare_gemm(
        {.a = dense(dtype::f32, 2, 0), .b = dense(dtype::f32, 0, 2), .c = dense(dtype::f32, 2, 2)});
    check(false, "K = 0 is refused");
  } catch (const shape_error&) {
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva::test;
  test_forms();
  test_epilogues();
  test_blocks();
  test_corners();
  return status();
}
