#pragma once

#if defined(__AVX512BF16__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

// AMX: products of tiles of bf16 pairs. scripts/check_isa.mjs accepts AMX instructions in this namespace
// alone, because AVX512_BF16 does not imply them; functions with AMX instructions are not inlined into
// others.
namespace eva::cpu::EVA_CLIP_ISA::amx {

inline constexpr int side = 16;  // rows of a tile, and 32-bit words of a row

struct alignas(64) tile_configuration {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14]{};
  uint16_t row_bytes[16]{64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16]{side, side, side, side, side, side, side, side};
};
static_assert(sizeof(tile_configuration) == 64);

inline constexpr tile_configuration configuration;

/// Linux lets a process use tiles only after it has asked, once, for all of its threads.
inline bool permitted() {
  constexpr int request_permission = 0x1023, tile_data = 18;
  static const bool granted = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
                              syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return granted;
}

/// Each thread configures its tiles before it multiplies, and releases them afterwards.
[[gnu::noinline]] inline void enter() { asm volatile("ldtilecfg %0" ::"m"(configuration)); }
[[gnu::noinline]] inline void leave() { asm volatile("tilerelease"); }

/// Two tiles side by side (of b) or one below the other (of a), and the way to those of the next step of K.
struct tile_pair {
  const std::byte *first, *second;
  int64_t row_bytes, step_bytes;
};

/// c (+)= a b for a block of up to 2 x 2 tiles, whose rows are `stride` floats apart, over `steps` tiles of
/// K.
template <bool SecondRows, bool SecondColumns>
inline void multiply_tiles(float* c, int64_t stride, tile_pair a, tile_pair b, int64_t steps, bool add) {
  const int64_t c_bytes = stride * int64_t(sizeof(float));
  float* lower = c + side * stride;
  if (add) {
    _tile_loadd(0, c, c_bytes);
    if constexpr (SecondColumns) _tile_loadd(1, c + side, c_bytes);
    if constexpr (SecondRows) _tile_loadd(2, lower, c_bytes);
    if constexpr (SecondRows && SecondColumns) _tile_loadd(3, lower + side, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t step = 0; step < steps; ++step) {
    _tile_loadd(4, a.first + step * a.step_bytes, a.row_bytes);
    _tile_loadd(6, b.first + step * b.step_bytes, b.row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (SecondColumns) {
      _tile_loadd(7, b.second + step * b.step_bytes, b.row_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (SecondRows) {
      _tile_loadd(5, a.second + step * a.step_bytes, a.row_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (SecondColumns) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, c_bytes);
  if constexpr (SecondColumns) _tile_stored(1, c + side, c_bytes);
  if constexpr (SecondRows) _tile_stored(2, lower, c_bytes);
  if constexpr (SecondRows && SecondColumns) _tile_stored(3, lower + side, c_bytes);
}

/// The same for a block of `rows` and `columns` elements; of these, the second tiles are skipped where
/// unused.
[[gnu::noinline]] inline void multiply_block(float* c, int64_t stride, tile_pair a, tile_pair b,
                                             int64_t steps, bool add, int64_t rows, int64_t columns) {
  const bool second_columns = columns > side;
  if (rows > side)
    second_columns ? multiply_tiles<true, true>(c, stride, a, b, steps, add)
                   : multiply_tiles<true, false>(c, stride, a, b, steps, add);
  else
    second_columns ? multiply_tiles<false, true>(c, stride, a, b, steps, add)
                   : multiply_tiles<false, false>(c, stride, a, b, steps, add);
}

}  // namespace eva::cpu::EVA_CLIP_ISA::amx
#endif
