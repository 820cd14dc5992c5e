// GEMMs choose their algorithm on the first run: results are right from that run on, in every form; the
// choice is kept in a file, from which a damaged algorithm is not taken.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "../check.h"
#include "core/error.h"
#include "cuda/device/runtime.h"
#include "cuda/linear/algorithm_cache.h"
#include "cuda/linear/gemm.h"

namespace {

using namespace eva;
using namespace eva::test;
using namespace eva::cuda;
namespace fs = std::filesystem;

constexpr int rows = 5, inner = 7, columns = 6;

struct on_device {
  on_device(const std::vector<float>& values, context& c)
      : count(values.size()), memory(values.size() * sizeof(float)) {
    device::upload(memory.data(), values.data(), count * sizeof(float), c.stream);
    device::synchronize(c.stream);
  }
  std::vector<float> read(context& c) const {
    std::vector<float> values(count);
    device::download(values.data(), memory.data(), count * sizeof(float), c.stream);
    device::synchronize(c.stream);
    return values;
  }
  size_t count;
  device::buffer memory;
};

std::vector<float> numbered(int count, float step) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) values.push_back(float(i % 11 - 5) * step);
  return values;
}

enum class addend_form { none, apart, in_place };

/// Three runs of c = a b + bias + addend, each compared with loops.
void run_form(addend_form form, context& c) {
  const std::vector<float> a = numbered(rows * inner, 0.5f), b = numbered(inner * columns, 0.25f),
                           bias = numbered(columns, 1), start = numbered(rows * columns, 2);
  const on_device a_memory(a, c), b_memory(b, c), bias_memory(bias, c), apart(start, c), result(start, c);
  const gemm_operands operands{.a = a_memory.memory.data(),
                               .b = b_memory.memory.data(),
                               .c = result.memory.data(),
                               .bias = bias_memory.memory.data(),
                               .addend = form == addend_form::none       ? nullptr
                                         : form == addend_form::in_place ? result.memory.data()
                                                                         : apart.memory.data()};
  gemm product({.a = dense(dtype::f32, rows, inner),
                .b = dense(dtype::f32, inner, columns),
                .c = dense(dtype::f32, rows, columns),
                .bias = true,
                .has_addend = form != addend_form::none},
               operands, c);
  std::vector<float> expected = start;
  for (int run = 1; run <= 3; ++run) {
    product.run(operands, c);
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) {
        const auto at = size_t(i * columns + j);
        float sum = bias[size_t(j)];
        for (int k = 0; k < inner; ++k) sum += a[size_t(i * inner + k)] * b[size_t(k * columns + j)];
        expected[at] = sum + (form == addend_form::none       ? 0
                              : form == addend_form::in_place ? expected[at]
                                                              : start[at]);
      }
    const std::vector<float> found = result.read(c);
    for (size_t i = 0; i < expected.size(); ++i)
      check(std::abs(found[i] - expected[i]) < 1e-3f,
            "form " + std::to_string(int(form)) + ", run " + std::to_string(run));
  }
}

void run_all_forms() {
  context c;
  c.stream = device::make_stream();
  c.properties = device::current_properties();
  for (const auto form : {addend_form::none, addend_form::apart, addend_form::in_place}) run_form(form, c);
  device::destroy(c.stream);
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int main() {
  std::string pattern = (fs::temp_directory_path() / "tuning-XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data()), file = folder / "algorithms.txt";
  setenv("EVA_CLIP_CUDA_AUTOTUNE_FILE", file.c_str(), 1);
  run_all_forms();
  const std::string chosen = text_of(file);
  check(chosen.find("f32 [5, 7] row-major 7 * f32 [7, 6] row-major 6 -> f32 [5, 6] row-major 6 + bias") !=
            std::string::npos,
        chosen);
  check(chosen.find("cuBLASLt 120800") != std::string::npos, "the library's version: " + chosen);
  run_all_forms();
  check(text_of(file) == chosen, "known algorithms are not measured again");

  // A file that is intact but holds what cuBLASLt refuses, as after an exchange of libraries.
  const std::string problem = chosen.substr(chosen.find('\n') + 1, chosen.find('\t') - chosen.find('\n') - 1);
  fs::remove(file);
  algorithm_cache(file).find_or_measure(
      problem, [](const auto&) { return true; }, [] { return std::optional(algorithm_cache::algorithm{}); });
  run_all_forms();
  check(algorithm_cache(file).find(problem) != algorithm_cache::algorithm{},
        "a refused algorithm is replaced");

  setenv("EVA_CLIP_CUDA_AUTOTUNE", "0", 1);
  fs::remove(file);
  run_all_forms();
  check(!fs::exists(file), "EVA_CLIP_CUDA_AUTOTUNE=0");
  fs::remove_all(folder);
  return status();
}
