// Searches for the nearest rows against brute force, for every instruction set that the processor supports.
// Elements are small integers, so that every product is exact and ties abound.
#include "cpu/dispatch/nearest_rows.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/error.h"
#include "cpu/dispatch/convert_elements.h"
#include "instruction_sets.h"

namespace eva::test {
namespace {

using cpu::nearest_args;
using cpu::neighbor;

/// The instruction set under test.
std::string level;

struct matrix {
  int64_t rows, columns;
  std::vector<float> values = std::vector<float>(size_t(rows * columns));
  float& at(int64_t row, int64_t column) { return values[size_t(row * columns + column)]; }
};

matrix random_matrix(int64_t rows, int64_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  matrix made{rows, columns};
  for (float& value : made.values) value = float(int(random() % 7) - 3);
  return made;
}

std::vector<std::byte> stored(const matrix& from, stored_dtype type) {
  std::vector<std::byte> bytes(from.values.size() * size_t(size_of(type)));
  cpu::conversion(stored_dtype::f32, type)(reinterpret_cast<const std::byte*>(from.values.data()), 4,
                                           int64_t(from.values.size()), bytes.data());
  return bytes;
}

std::vector<std::vector<neighbor>> brute_force(matrix& rows, matrix& queries, int64_t count,
                                               const std::vector<uint8_t>& allowed) {
  std::vector<std::vector<neighbor>> found;
  for (int64_t q = 0; q < queries.rows; ++q) {
    std::vector<neighbor> all;
    for (int64_t n = 0; n < rows.rows; ++n) {
      if (!allowed.empty() && !(allowed[size_t(n / 8)] >> n % 8 & 1)) continue;
      double sum = 0;
      for (int64_t i = 0; i < rows.columns; ++i) sum += double(rows.at(n, i)) * double(queries.at(q, i));
      all.push_back({float(sum), int32_t(n)});
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return a.similarity > b.similarity; });
    all.resize(std::min(all.size(), size_t(count)));
    found.push_back(std::move(all));
  }
  return found;
}

nearest_args args_of(const std::vector<std::byte>& rows, stored_dtype type, const matrix& shape,
                     const matrix& queries, int64_t count) {
  nearest_args args{};
  args.rows = rows.data();
  args.type = type;
  args.row_count = shape.rows;
  args.columns = shape.columns;
  args.queries = queries.values.data();
  args.query_count = queries.rows;
  args.count = count;
  return args;
}

bool same(const std::vector<std::vector<neighbor>>& a, const std::vector<std::vector<neighbor>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const neighbor& m, const neighbor& n) {
      return m.row == n.row && m.similarity == n.similarity;
    });
  });
}

void compare(int64_t rows, int64_t columns, int64_t query_count, int64_t count, bool masked) {
  matrix vectors = random_matrix(rows, columns, uint32_t(rows * 31 + columns));
  matrix queries = random_matrix(query_count, columns, uint32_t(query_count * 17 + columns));
  std::vector<uint8_t> allowed;
  std::mt19937 random(5);
  if (masked) {
    allowed.resize(size_t(rows + 7) / 8);
    for (uint8_t& bits : allowed) bits = uint8_t(random());
  }
  const auto expected = brute_force(vectors, queries, count, allowed);
  for (const stored_dtype type : {stored_dtype::f32, stored_dtype::f16, stored_dtype::bf16}) {
    const auto bytes = stored(vectors, type);
    nearest_args args = args_of(bytes, type, vectors, queries, count);
    if (masked) args.allowed = allowed.data();
    for (const int threads : {1, 3}) {
      const auto found = cpu::nearest_rows(level)(args, {threads});
      check(same(found, expected), std::to_string(count) + " of " + std::to_string(rows) + " × " +
                                       std::to_string(columns) + ", queries: " + std::to_string(query_count) +
                                       ", threads: " + std::to_string(threads));
    }
  }
}

void finds_what_brute_force_finds() {
  for (const int64_t columns : {1, 7, 33, 64, 515}) {
    for (const int64_t query_count : {1, 3, 4, 9}) {
      compare(0, columns, query_count, 5, false);
      compare(1, columns, query_count, 5, false);
      compare(37, columns, query_count, 100, false);
      compare(300, columns, query_count, 10, true);
    }
    compare(5000, columns, 2, 10, false);
    compare(64, columns, 0, 10, false);
  }
}

/// The similarities of real numbers have the same bits however many queries are searched at a time.
void bits_do_not_depend_on_the_number_of_queries() {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  matrix vectors{403, 131}, queries{13, 131};
  for (matrix* each : {&vectors, &queries})
    for (float& value : each->values) value = normal(random);
  const auto bytes = stored(vectors, stored_dtype::f32);
  const auto search = cpu::nearest_rows(level);
  const auto all = search(args_of(bytes, stored_dtype::f32, vectors, queries, 403), {3});
  for (int64_t q = 0; q < queries.rows; ++q) {
    nearest_args one = args_of(bytes, stored_dtype::f32, vectors, queries, 403);
    one.queries += q * queries.columns;
    one.query_count = 1;
    check(same(search(one, {2}), {all[size_t(q)]}), "query " + std::to_string(q) + " alone");
  }
}

void refuses_what_is_not_finite() {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    matrix vectors = random_matrix(50, 8, 1);
    matrix queries = random_matrix(1, 8, 2);
    queries.at(0, 3) = 1;
    vectors.at(49, 3) = bad;
    const auto bytes = stored(vectors, stored_dtype::f32);
    try {
      cpu::nearest_rows(level)(args_of(bytes, stored_dtype::f32, vectors, queries, 50), {1});
      check(false, "a product that is not finite");
    } catch (const error& e) {
      check(e.code == std::string("ERR_EVACLIP_NOT_FINITE") && e.details.at("row") == "49", e.what());
    }
  }
}

void ends_when_it_is_told_to() {
  matrix vectors = random_matrix(5000, 64, 1), queries = random_matrix(1, 64, 2);
  const auto bytes = stored(vectors, stored_dtype::f32);
  nearest_args args = args_of(bytes, stored_dtype::f32, vectors, queries, 1);
  args.before_part = [] { throw error("ERR_EVACLIP_ABORTED", "told to"); };
  try {
    cpu::nearest_rows(level)(args, {2});
    check(false, "a search that is told to end");
  } catch (const error& e) {
    check(e.code == std::string("ERR_EVACLIP_ABORTED"), e.what());
  }
}

}  // namespace
}  // namespace eva::test

int main() {
  using namespace eva;
  using namespace eva::test;
  return for_each_instruction_set([](const char* name) { cpu::nearest_rows(name); },
                                  [](const char* name) {
                                    level = name;
                                    finds_what_brute_force_finds();
                                    bits_do_not_depend_on_the_number_of_queries();
                                    refuses_what_is_not_finite();
                                    ends_when_it_is_told_to();
                                  });
}
