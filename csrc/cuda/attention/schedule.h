#pragma once
// The tuning numbers of attention's tensor-core kernels. Registers and blocks per SM are those that ptxas
// reports for sm_90a; none of the numbers has been timed on a GPU.

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace eva::cuda {

/// Queries per iteration of the resident backward kernel. 16 would double its barriers, 64 its two buffers of
/// dS.
inline constexpr int chunk_queries = 32;

/// A compiled size of a resident kernel, which holds a whole head in shared memory.
struct resident_schedule {
  int columns;  // the head dimension that its tiles hold
  int tiles;    // of 16 tokens
  int warps;
  int blocks;  // per SM: of the launch bounds, and to fit in shared memory; 0: as many as ptxas chooses

  /// Whether a problem fits.
  constexpr bool fits(int head_dim, int tokens, int shared_bytes, int shared_bytes_per_block) const {
    constexpr int reserved = 1024;  // shared memory of an SM that each block takes beyond its own
    return head_dim <= columns && tokens <= 16 * tiles &&
           std::max(1, blocks) * (shared_bytes + reserved) <= shared_bytes_per_block + reserved;
  }
};

// The first schedule that fits is taken. Blocks per SM on sm_90a are beside each.

/// Forward: a warp takes 16 queries at a time, with the scores of all tiles in registers.
inline constexpr std::array forward_schedules{
    resident_schedule{64, 2, 4, 0},   // 8
    resident_schedule{64, 5, 4, 0},   // 6
    resident_schedule{64, 7, 4, 0},   // 4: 99 tokens
    resident_schedule{64, 9, 3, 4},   // 4: 129 tokens are three even rounds of three warps
    resident_schedule{64, 9, 4, 1},   // where only one or two blocks of 9 tiles fit in an SM
    resident_schedule{64, 13, 4, 0},  // 2: 197 tokens
    resident_schedule{64, 17, 4, 0},  // 2: 257 tokens
    resident_schedule{64, 19, 4, 0},  // 1: 289 tokens; more tiles would spill
    resident_schedule{96, 9, 4, 0},   // 2
    resident_schedule{112, 9, 4, 0},  // 2
    resident_schedule{128, 9, 4, 0},  // 1
};

/// Backward: a warp keeps dK and dV of its tiles in registers, 64 per tile at D = 64, and loads Q and dO once
/// for all of them. Two tiles per warp therefore need two thirds of the shared-memory reads of one.
inline constexpr std::array backward_schedules{
    resident_schedule{64, 2, 2, 4},   // 8: most captions; where none is demanded, sm_120 spills to have 8
    resident_schedule{64, 5, 5, 0},   // 3
    resident_schedule{64, 7, 4, 0},   // 2: 99 tokens; 3 blocks would need 168 registers, and spill
    resident_schedule{64, 9, 4, 2},   // 2: 129 tokens; 5 warps (168 registers) and 3 warps (255) would spill
    resident_schedule{64, 9, 9, 0},   // 1: where two blocks do not fit, as many warps as there are tiles
    resident_schedule{64, 13, 8, 0},  // 1: 197 tokens
    resident_schedule{64, 17, 8, 0},  // 1: 257 tokens; 19 tiles spill with 6, 9 and 10 warps
    resident_schedule{96, 9, 9, 0},   // 1; with 128 columns the accumulators would not fit in registers
    resident_schedule{112, 9, 9, 0},  // 1
};

/// Keys per iteration of the streaming forward kernel, of which two tiles are in shared memory, and rows per
/// iteration of the backward ones: as many as leave registers for the accumulators. With 96 columns, which
/// have 128 registers as those of 64 do, 64 keys would spill on sm_80.
constexpr int streaming_forward_block_n(int columns) { return columns == 96 ? 48 : 64; }
inline constexpr int streaming_backward_block_n = 32;

/// Warps of a streaming block. Forward, the blocks of a dense batch have 8 where two of them fit in an SM, so
/// that the rotation of a tile of keys by RoPE serves 128 queries instead of 64; sequences of a packed batch
/// are short.
constexpr int streaming_forward_warps(int columns, bool packed) { return packed || columns > 96 ? 4 : 8; }
inline constexpr int streaming_backward_warps = 4;

/// Blocks per SM, the launch bounds of the streaming kernels: as many as shared memory holds on sm_90a and as
/// fit without spilling.
constexpr int streaming_forward_blocks(int columns, int warps) { return (columns > 96 ? 8 : 16) / warps; }
constexpr int streaming_backward_blocks(int columns) { return columns > 64 ? 2 : 3; }

/// Calls start with the number of columns of the tiles that hold a head, as a compile-time constant.
template <class Start> void for_streaming_columns(int head_dim, const Start& start) {
  if (head_dim <= 64) return start(std::integral_constant<int, 64>{});
  if (head_dim <= 96) return start(std::integral_constant<int, 96>{});
  if (head_dim <= 112) return start(std::integral_constant<int, 112>{});
  start(std::integral_constant<int, 128>{});
}

/// Calls start<schedule>() in the order of the table until one returns true.
template <const auto& Table, class Start> bool first_of(const Start& start) {
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return (start.template operator()<Table[I]>() || ...);
  }
  (std::make_index_sequence<Table.size()>());
}

}  // namespace eva::cuda
