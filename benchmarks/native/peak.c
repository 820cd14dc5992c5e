// Prints the multiply-add peaks of all OpenMP threads together as JSON, in GFLOP/s: f32, and for bf16
// operands with f32 sums vdpbf16ps and AMX, where the processor has them. Each is the best of several
// windows.
#include <omp.h>
#include <stdio.h>

#include "peak_windows.h"

enum { turns = 4000000, amx_turns = 200000, windows = 10 };

/// GFLOP/s of all threads, for a window of `flops` of one thread.
static double peak(void (*window)(int turns), int turn_count, double flops) {
  double best = 0;
  for (int i = 0; i < windows; ++i) {
    const double start = omp_get_wtime();
#pragma omp parallel
    window(turn_count);
    const double rate = flops * omp_get_max_threads() / (omp_get_wtime() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  return best;
}

int main(void) {
  const double dot_flops = dot_window_flops(turns), amx_flops = amx_window_flops(amx_turns);
  printf("{ \"f32\": %.1f", peak(f32_window, turns, f32_window_flops(turns)));
  if (dot_flops > 0) printf(", \"vdpbf16ps\": %.1f", peak(dot_window, turns, dot_flops));
  if (amx_flops > 0) {
    printf(", \"AMX\": %.1f", peak(amx_window, amx_turns, amx_flops));
    printf(", \"AMX with tiles from the L1 cache\": %.1f", peak(amx_loads_window, amx_turns, amx_flops));
  }
  printf(" }\n");
  return 0;
}
