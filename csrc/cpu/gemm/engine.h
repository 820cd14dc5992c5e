#pragma once

#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "cpu/gemm/gemm_spec.h"
#include "cpu/simd.h"

// A GEMM multiplies panels. A panel of a holds up to tile_rows rows, a panel of b up to tile_columns columns,
// both with K as their slow dimension, in 32-bit words: one f32, or two bf16 that follow each other along K.
// Each word of K has `pitch` words in a panel, so a panel may be entered at any multiple of depth_unit.
namespace eva::cpu::EVA_CLIP_ISA {

using word = uint32_t;

/// Columns of a panel of b: two registers.
inline constexpr int tile_columns = 2 * lanes;
/// Rows of a tile of a vector engine: two accumulators per row, two registers of b and one element of a.
inline constexpr int vector_tile_rows = lanes == 16 ? 14 : 6;
/// The tallest tile of all engines.
inline constexpr int max_tile_rows = 32;

/// `lane_count` rows of a, or columns of b, and their elements along K.
struct panel_source {
  const void* data;
  dtype type;
  int64_t lane_stride, depth_stride;  // in elements
  int64_t lane_count, depth;          // depth in elements
};

/// Panels, and cache lines that are needed soon: the vector engines request them one by one between their
/// multiply-adds, because a burst of requests would stop the core until they are answered. The loads of AMX
/// tiles leave no room for them.
struct tile_operands {
  const word *a, *b;
  int64_t depth;
  std::span<const void* const> soon;
};

struct engine {
  gemm_engine kind;
  int elements_per_word;
  int tile_rows;
  int row_unit;         // panels of a begin at multiples
  int a_pitch;          // words of a panel of a for each word of K
  int64_t depth_unit;   // words of K; panels are padded to a multiple with zeros
  int64_t depth_block;  // words of K of a panel of b that stay in the L1 cache
  bool requests_lines;  // whether multiply reads tile_operands::soon
  /// Writes a panel of a or b.
  void (*pack_a)(const panel_source&, word* panel);
  void (*pack_b)(const panel_source&, word* panel);
  /// sums [rows, tile_columns] = a b, or += a b. May also write the padding of sums, up to tile_rows.
  void (*multiply)(const tile_operands&, float* sums, bool add, int rows, int columns);
  /// Called by each thread around its use of the engine.
  void (*enter)();
  void (*leave)();
};

/// Null if the processor or this variant does not have it.
const engine* fma_engine(dtype type);
const engine* dot_engine();
const engine* amx_engine();

}  // namespace eva::cpu::EVA_CLIP_ISA
