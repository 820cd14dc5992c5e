#include "napi/openmp_spinning.h"

#include <cstdlib>

namespace eva::napi {
namespace {

/// Between two kernels OpenMP's threads wait this many turns before they sleep. The library's default, some
/// milliseconds, would take a core from Node and the image decoder. libgomp reads it in its own constructor,
/// which runs after this one because the addon is linked with `-z initfirst`.
const bool is_ours = [] {
  const bool was_set = getenv("GOMP_SPINCOUNT") != nullptr;
  if (!was_set) setenv("GOMP_SPINCOUNT", "10000", 0);
  return !was_set;
}();

}  // namespace

void forget_openmp_spinning() {
  [[maybe_unused]] static const int once = is_ours ? unsetenv("GOMP_SPINCOUNT") : 0;
}

}  // namespace eva::napi
