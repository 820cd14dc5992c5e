#include "peak_windows.h"

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));

enum { chains = 12 };

static volatile float sink;

void f32_window(int turns) {
  const vec factor = (vec){0} + 0.999f, addend = (vec){0} + 0.001f;
  vec a = addend, b = a + 1, c = a + 2, d = a + 3, e = a + 4, f = a + 5, g = a + 6, h = a + 7, i = a + 8,
      j = a + 9, k = a + 10, l = a + 11;
  for (int turn = 0; turn < turns; ++turn) {
    a = a * factor + addend, b = b * factor + addend, c = c * factor + addend, d = d * factor + addend;
    e = e * factor + addend, f = f * factor + addend, g = g * factor + addend, h = h * factor + addend;
    i = i * factor + addend, j = j * factor + addend, k = k * factor + addend, l = l * factor + addend;
  }
  const vec sum = a + b + c + d + e + f + g + h + i + j + k + l;
  sink = sum[0];
}

void dot_window(int turns) {
#if defined(__AVX512BF16__)
  const __m512bh factor = (__m512bh)_mm512_set1_epi32(0x3f803f80);  // pairs of 1
  __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a;
  for (int turn = 0; turn < turns; ++turn) {
    a = _mm512_dpbf16_ps(a, factor, factor), b = _mm512_dpbf16_ps(b, factor, factor);
    c = _mm512_dpbf16_ps(c, factor, factor), d = _mm512_dpbf16_ps(d, factor, factor);
    e = _mm512_dpbf16_ps(e, factor, factor), f = _mm512_dpbf16_ps(f, factor, factor);
    g = _mm512_dpbf16_ps(g, factor, factor), h = _mm512_dpbf16_ps(h, factor, factor);
    i = _mm512_dpbf16_ps(i, factor, factor), j = _mm512_dpbf16_ps(j, factor, factor);
    k = _mm512_dpbf16_ps(k, factor, factor), l = _mm512_dpbf16_ps(l, factor, factor);
    __asm__ volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f));
    __asm__ volatile("" : "+v"(g), "+v"(h), "+v"(i), "+v"(j), "+v"(k), "+v"(l));
  }
  sink = _mm512_reduce_add_ps(a + b + c + d + e + f + g + h + i + j + k + l);
#endif
}

enum { tile_rows = 16, tile_bytes = 64, turns_of_sums = 64 };

#if defined(__AMX_BF16__)
/// Tiles 0 to 3 are sums f32 [16, 16], 4 and 5 rows and 6 and 7 columns of bf16 pairs [16, 32].
static void begin_amx(unsigned char operands[4][tile_rows * tile_bytes]) {
  struct {
    unsigned char palette, start, reserved[14];
    unsigned short bytes[16];
    unsigned char rows[16];
  } tiles = {.palette = 1};
  for (int t = 0; t < 8; ++t) tiles.bytes[t] = tile_bytes, tiles.rows[t] = tile_rows;
  // Pairs near 1 with random signs: zeros take less power, so that the processor runs faster.
  uint32_t random = 1;
  for (int i = 0; i < 4 * tile_rows * tile_bytes; i += 4) {
    random = random * 1664525 + 1013904223;
    const uint32_t pair = 0x3f803f80 | (random & 0x807f807f);
    memcpy(&operands[0][0] + i, &pair, sizeof pair);
  }
  __asm__ volatile("" ::: "memory");  // GCC takes the instruction to read 8 bytes of the 64
  _tile_loadconfig(&tiles);
  _tile_loadd(4, operands[0], tile_bytes);
  _tile_loadd(5, operands[1], tile_bytes);
  _tile_loadd(6, operands[2], tile_bytes);
  _tile_loadd(7, operands[3], tile_bytes);
}

static void clear_sums(void) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

static inline __attribute__((always_inline)) void amx_products(int turns, int with_loads) {
  unsigned char operands[4][tile_rows * tile_bytes];
  begin_amx(operands);
  for (int turn = 0; turn < turns; ++turn) {
    if (turn % turns_of_sums == 0) clear_sums();
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (with_loads) _tile_loadd(4, operands[0], tile_bytes);
    _tile_dpbf16ps(3, 5, 7);
    if (with_loads) _tile_loadd(7, operands[3], tile_bytes);
    _tile_dpbf16ps(2, 5, 6);
    if (with_loads) _tile_loadd(5, operands[1], tile_bytes);
    if (with_loads) _tile_loadd(6, operands[2], tile_bytes);
  }
  _tile_release();
}
#endif

void amx_window(int turns) {
#if defined(__AMX_BF16__)
  amx_products(turns, 0);
#endif
}

void amx_loads_window(int turns) {
#if defined(__AMX_BF16__)
  amx_products(turns, 1);
#endif
}

#if defined(__AMX_BF16__)
/// Linux gives a process the tile registers on request.
static int amx_is_granted(void) {
  enum { request_permission = 0x1023, tile_data = 18 };
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

double f32_window_flops(int turns) { return 2.0 * LANES * chains * turns; }

double dot_window_flops(int turns) {
#if defined(__AVX512BF16__)
  return 4.0 * LANES * chains * turns;
#else
  return 0 * turns;
#endif
}

double amx_window_flops(int turns) {
#if defined(__AMX_BF16__)
  if (amx_is_granted()) return 4.0 * 2 * tile_rows * tile_rows * 32 * turns;
#endif
  return 0 * turns;
}
