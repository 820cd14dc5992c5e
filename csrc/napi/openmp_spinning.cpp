#include <cstdlib>

namespace {

/// Between two kernels OpenMP's threads wait this many turns before they sleep. The library's default, some
/// milliseconds, would take a core from Node and the image decoder. libgomp reads it in its own constructor,
/// which runs after this one because the addon is linked with `-z initfirst`.
struct openmp_spinning {
  openmp_spinning() { setenv("GOMP_SPINCOUNT", "10000", 0); }
} before_openmp;

}  // namespace
