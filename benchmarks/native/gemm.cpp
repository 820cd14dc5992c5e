// GEMMs of the models' shapes: every engine of this processor and oneDNN, interleaved with windows of plain
// multiply-adds. GFLOP/s (best of repetitions), and the median share of the peak that was measured beside it,
// because the speed of a shared machine changes within a second.
//   gemm_benchmark [threads] [repetitions] [part of the case's name] [instruction set]
// With an instruction set below the processor's, limit oneDNN, too, by ONEDNN_MAX_CPU_ISA.
#include <omp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "cpu/dispatch/instruction_set.h"
#include "peak_windows.h"

namespace {

using namespace eva;
using cpu::gemm_engine;

enum class form { forward, input_gradient, weight_gradient };

struct shape_case {
  const char* model;
  form which;
  int64_t rows, outputs, inputs;  // of tokens, and of the weight
};

constexpr shape_case cases[] = {
    {"B/16 attention", form::forward, 1584, 768, 768},
    {"B/16 qkv", form::forward, 1584, 2304, 768},
    {"B/16 gate, value", form::forward, 1584, 4096, 768},
    {"B/16 mlp out", form::forward, 1584, 768, 2048},
    {"B/16 qkv dx", form::input_gradient, 1584, 2304, 768},
    {"B/16 mlp out dx", form::input_gradient, 1584, 768, 2048},
    {"B/16 qkv dw", form::weight_gradient, 1584, 2304, 768},
    {"B/16 mlp out dw", form::weight_gradient, 1584, 768, 2048},
    {"text qkv", form::forward, 290, 1536, 512},
    {"text mlp dx", form::input_gradient, 290, 2048, 512},
    {"text mlp dw", form::weight_gradient, 290, 2048, 512},
    {"L/14 qkv", form::forward, 1032, 3072, 1024},
    {"L/14 mlp out", form::forward, 1032, 1024, 2752},
    {"demo qkv", form::forward, 4224, 384, 128},
    {"demo attention", form::forward, 4224, 128, 128},
    {"demo qkv dw", form::weight_gradient, 4224, 384, 128},
    {"B/16 qkv, batch 1", form::forward, 197, 2304, 768},
    {"B/16 attention, batch 1", form::forward, 197, 768, 768},
    {"B/16 mlp out, batch 1", form::forward, 197, 768, 2048},
    {"caption qkv", form::forward, 10, 1536, 512},
    {"caption mlp", form::forward, 10, 2048, 512},
    {"caption mlp out", form::forward, 10, 512, 2048},
};

cpu::gemm_spec spec_of(const shape_case& s, dtype type) {
  const matrix_layout x = dense(type, s.rows, s.inputs), dy = dense(type, s.rows, s.outputs),
                      w = dense(type, s.outputs, s.inputs);
  switch (s.which) {
    case form::forward:
      return {.a = x, .b = transposed(w), .c = dy};
    case form::input_gradient:
      return {.a = dy, .b = w, .c = x};
    case form::weight_gradient:
      break;
  }
  return {.a = transposed(dy), .b = x, .c = dense(dtype::f32, s.outputs, s.inputs)};
}

std::vector<std::byte> random_matrix(const matrix_layout& m) {
  std::vector<std::byte> bytes(size_t(m.rows * m.columns * size_of(m.type)));
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int64_t i = 0; i < m.rows * m.columns; ++i)
    if (m.type == dtype::bf16)
      reinterpret_cast<bf16*>(bytes.data())[i] = bf16(uniform(random));
    else
      reinterpret_cast<float*>(bytes.data())[i] = uniform(random);
  return bytes;
}

constexpr size_t cold_bytes = 200 << 20;

struct candidate {
  const char* name;
  std::unique_ptr<cpu::prepared_gemm> gemm;
  std::vector<double> rates{}, shares{};  // in GFLOP/s, and of the peak
};

std::vector<candidate> candidates(const cpu::instruction_set& set, cpu::gemm_spec spec) {
  std::vector<candidate> found;
  for (const auto& [name, engine] : {std::pair{"fma", gemm_engine::fma},
                                     {"dot", gemm_engine::dot},
                                     {"amx", gemm_engine::amx},
                                     {"oneDNN", gemm_engine::onednn}}) {
    spec.engine = engine;
    try {
      found.push_back({name, set.prepare_gemm(spec)});
    } catch (const device_error&) {
    }
  }
  return found;
}

/// GFLOP/s of `work`.
template <class Work> double rate(double flops, const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return flops / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() * 1e-9;
}

double peak_rate(dtype type) {
  constexpr int turns = 100'000, amx_turns = 20'000;  // about 1 ms
  const double amx_flops = type == dtype::bf16 ? amx_window_flops(amx_turns) : 0;
  const double flops = amx_flops > 0 ? amx_flops : f32_window_flops(turns);
  return rate(flops * omp_get_max_threads(), [&] {
#pragma omp parallel
    amx_flops > 0 ? amx_loads_window(amx_turns) : f32_window(turns);
  });
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void measure(const cpu::instruction_set& set, const shape_case& s, dtype type, int repetitions) {
  const cpu::gemm_spec spec = spec_of(s, type);
  const auto a = random_matrix(spec.a);
  // As in a model, whose weights no cache holds.
  const std::vector<std::byte> matrix = random_matrix(spec.b);
  std::vector<std::vector<std::byte>> b(cold_bytes / matrix.size() + 1, matrix);
  size_t next = 0;
  auto c = random_matrix(spec.c);
  auto all = candidates(set, spec);
  const double flops = 2.0 * double(s.rows) * double(s.outputs) * double(s.inputs);
  // Small GEMMs repeat, so that each measurement takes about 2 ms.
  const int calls = std::max(1, int(4e8 / flops));
  for (int i = 0; i < repetitions; ++i)
    for (candidate& each : all) {
      const double before = peak_rate(type);
      each.rates.push_back(rate(flops * calls, [&] {
        for (int call = 0; call < calls; ++call)
          each.gemm->run({a.data(), b[next++ % b.size()].data(), c.data()});
      }));
      each.shares.push_back(each.rates.back() * 2 / (before + peak_rate(type)));
    }
  for (const candidate& each : all)
    std::printf("  %s %.0f (%.0f %%)", each.name, std::ranges::max(each.rates), 100 * median(each.shares));
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::atoi(arguments[1]) : omp_get_max_threads();
  const int repetitions = count > 2 ? std::atoi(arguments[2]) : 30;
  const cpu::instruction_set& set = cpu::choose(count > 4 ? arguments[4] : "");
  omp_set_num_threads(threads);
  std::printf("GFLOP/s (best of %d) and median share of the peak, %d threads\n", repetitions, threads);
  for (const dtype type : {dtype::f32, dtype::bf16})
    for (const shape_case& s : cases) {
      const std::string line = std::string(to_string(type)) + " " + s.model + " " + std::to_string(s.rows) +
                               " x " + std::to_string(s.outputs) + " x " + std::to_string(s.inputs);
      if (count > 3 && line.find(arguments[3]) == std::string::npos) continue;
      std::printf("%s", line.c_str());
      measure(set, s, type, repetitions);
    }
}
