// Prints the rate in GB/s at which all OpenMP threads together read a memory-mapped file: the best of several
// passes.
#include <fcntl.h>
#include <omp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef float vec __attribute__((vector_size(64), aligned(4)));

enum { passes = 7, chains = 8 };

static volatile float sink;

int main(int count, char** arguments) {
  struct stat status;
  const int file = count == 2 ? open(arguments[1], O_RDONLY) : -1;
  if (file < 0 || fstat(file, &status) != 0) return 1;
  const char* bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
  if (bytes == MAP_FAILED) return 1;
  const long vectors = status.st_size / (long)sizeof(vec) / chains * chains;
  double best = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const double start = omp_get_wtime();
#pragma omp parallel
    {
      vec sums[chains] = {{0}};
#pragma omp for schedule(dynamic, 2048)
      for (long i = 0; i < vectors / chains; ++i)
        for (int chain = 0; chain < chains; ++chain) sums[chain] += ((const vec*)bytes)[i * chains + chain];
      for (int chain = 1; chain < chains; ++chain) sums[0] += sums[chain];
      sink = sums[0][0];
    }
    const double rate = (double)(vectors * (long)sizeof(vec)) / (omp_get_wtime() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  printf("%.2f\n", best);
  return 0;
}
