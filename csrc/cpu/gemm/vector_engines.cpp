// The engines whose accumulators are vector registers: f32 FMAs, and AVX512_BF16's dot products.
#include <array>

#include "cpu/gemm/pack.h"
#include "cpu/unrolled.h"

namespace eva::cpu::EVA_CLIP_ISA {
namespace {

struct fma {
  static void add(vec& sum, vec a, vec b) { sum += a * b; }
};

#if defined(__AVX512BF16__)
struct dot {
  static void add(vec& sum, vec a, vec b) {
    sum = _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(a), std::bit_cast<__m512bh>(b));
  }
};
#endif

constexpr int a_groups = (vector_tile_rows + lanes - 1) / lanes;
constexpr int a_pitch = a_groups * lanes;
/// Words of K for each line that is requested.
constexpr int words_per_line = 4;

template <class Step, int Rows, int Vectors>
void micro_kernel(const tile_operands& of, float* sums, bool add) {
  vec tile[Rows * Vectors];
  if (add)
    unrolled<Rows * Vectors>(
        [&](auto i) { tile[i] = load(sums + i / Vectors * tile_columns + i % Vectors * lanes); });
  else
    unrolled<Rows * Vectors>([&](auto i) { tile[i] = vec{}; });
  const word *a = of.a, *b = of.b;
  const void* const* line = of.soon.data();
  for (int64_t k = 0; k < of.depth; k += words_per_line) {
    if (line != of.soon.data() + of.soon.size()) __builtin_prefetch(*line++, 0, 2);
    unrolled<words_per_line>([&](auto word_of_line) {
      vec columns[Vectors];
      unrolled<Vectors>([&](auto v) {
        std::memcpy(&columns[v], b + word_of_line * tile_columns + v * lanes, sizeof(vec));
      });
      unrolled<Rows>([&](auto i) {
        const vec element = std::bit_cast<vec>(uvec{} + a[word_of_line * a_pitch + i]);
        unrolled<Vectors>([&](auto v) { Step::add(tile[i * Vectors + v], element, columns[v]); });
      });
    });
    a += words_per_line * a_pitch, b += words_per_line * tile_columns;
  }
  unrolled<Rows * Vectors>(
      [&](auto i) { store(sums + i / Vectors * tile_columns + i % Vectors * lanes, tile[i]); });
}

using micro_kernel_function = void (*)(const tile_operands&, float* sums, bool add);

template <class Step, int Vectors>
constexpr auto micro_kernels = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array<micro_kernel_function, vector_tile_rows>{micro_kernel<Step, I + 1, Vectors>...};
}
(std::make_integer_sequence<int, vector_tile_rows>{});

template <class Step> void multiply(const tile_operands& of, float* sums, bool add, int rows, int columns) {
  const auto& kernels = columns > lanes ? micro_kernels<Step, 2> : micro_kernels<Step, 1>;
  kernels[size_t(rows - 1)](of, sums, add);
}

void nothing() {}

template <class Step, class Words> constexpr engine vector_engine(gemm_engine kind, int64_t depth_block) {
  return {.kind = kind,
          .elements_per_word = Words::elements,
          .tile_rows = vector_tile_rows,
          .row_unit = 1,
          .a_pitch = a_pitch,
          .depth_unit = words_per_line,
          .depth_block = depth_block,
          .requests_lines = true,
          .pack_a = pack_by_depth<Words, a_groups, words_per_line>,
          .pack_b = pack_by_depth<Words, 2, words_per_line>,
          .multiply = multiply<Step>,
          .enter = nothing,
          .leave = nothing};
}

}  // namespace

const engine* fma_engine(dtype type) {
  static constexpr engine f32 = vector_engine<fma, f32_words>(gemm_engine::fma, 384);
  static constexpr engine widened = vector_engine<fma, widened_words>(gemm_engine::fma, 384);
  return type == dtype::f32 ? &f32 : &widened;
}

const engine* dot_engine() {
#if defined(__AVX512BF16__)
  static constexpr engine pairs = vector_engine<dot, bf16_pairs>(gemm_engine::dot, 384);
  return &pairs;
#else
  return nullptr;
#endif
}

}  // namespace eva::cpu::EVA_CLIP_ISA
