// Prints the f32 multiply-add peak of all OpenMP threads together in GFLOP/s: the best of several windows of
// independent multiply-adds that stay in registers.
#include <omp.h>
#include <stdio.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));

enum { chains = 12, turns = 4000000, windows = 10 };

static volatile float sink;

static void window(void) {
  const vec factor = (vec){0} + 0.999f, addend = (vec){0} + 0.001f;
  vec a = addend, b = a + 1, c = a + 2, d = a + 3, e = a + 4, f = a + 5, g = a + 6, h = a + 7, i = a + 8, j = a + 9,
      k = a + 10, l = a + 11;
  for (int turn = 0; turn < turns; ++turn) {
    a = a * factor + addend, b = b * factor + addend, c = c * factor + addend, d = d * factor + addend;
    e = e * factor + addend, f = f * factor + addend, g = g * factor + addend, h = h * factor + addend;
    i = i * factor + addend, j = j * factor + addend, k = k * factor + addend, l = l * factor + addend;
  }
  const vec sum = a + b + c + d + e + f + g + h + i + j + k + l;
  sink = sum[0];
}

int main(void) {
  double best = 0;
  for (int i = 0; i < windows; ++i) {
    const double start = omp_get_wtime();
#pragma omp parallel
    window();
    const double rate = 2.0 * LANES * chains * turns * omp_get_max_threads() / (omp_get_wtime() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  printf("%.1f\n", best);
  return 0;
}
