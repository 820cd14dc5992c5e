// The engine of AMX tiles: a tile of c is 2 x 2 registers of 16 x 16 sums.
#include "cpu/amx.h"
#include "cpu/gemm/pack.h"

namespace eva::cpu::EVA_CLIP_ISA {

#if defined(__AVX512BF16__)

namespace amx {
namespace {

constexpr int tile_rows = 2 * side;
static_assert(tile_columns == 2 * side && max_tile_rows >= tile_rows);

/// For each `side` words of K, the words of all rows side by side: the order of TILELOADD.
void pack_a(const panel_source& from, word* panel) {
  const int64_t words = (from.depth + 1) / 2;
  for (int64_t k = 0; k < words; k += side)
    for (int group = 0; group < 2; ++group) {
      vec rows[lanes];
      load_block<bf16_pairs, false>(from, group * side, 2 * k, rows);
      word* to = panel + k * tile_rows + group * side * side;
      for (int i = 0; i < side; ++i) std::memcpy(to + i * side, &rows[i], sizeof(vec));
    }
}

void multiply(const tile_operands& of, float* sums, bool add, int rows, int columns) {
  constexpr int64_t word_bytes = sizeof(word);
  const auto bytes = [](const word* at) { return reinterpret_cast<const std::byte*>(at); };
  const tile_pair left{bytes(of.a), bytes(of.a + side * side), side * word_bytes,
                       side * tile_rows * word_bytes};
  const tile_pair right{bytes(of.b), bytes(of.b + side), tile_columns * word_bytes,
                        side * tile_columns * word_bytes};
  const int64_t steps = (of.depth + side - 1) / side;
  multiply_block(sums, tile_columns, left, right, steps, add, rows, columns);
}

}  // namespace
}  // namespace amx

const engine* amx_engine() {
  static constexpr engine tiles{.kind = gemm_engine::amx,
                                .elements_per_word = 2,
                                .tile_rows = amx::tile_rows,
                                .row_unit = amx::side,
                                .a_pitch = amx::tile_rows,
                                .depth_unit = amx::side,
                                .depth_block = 512,
                                .requests_lines = false,
                                .pack_a = amx::pack_a,
                                .pack_b = pack_by_depth<bf16_pairs, 2, amx::side>,
                                .multiply = amx::multiply,
                                .enter = amx::enter,
                                .leave = amx::leave};
  return amx::permitted() ? &tiles : nullptr;
}

#else

const engine* amx_engine() { return nullptr; }

#endif

}  // namespace eva::cpu::EVA_CLIP_ISA
