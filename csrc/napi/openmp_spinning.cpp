#include "napi/openmp_spinning.h"

#include <cstdlib>

namespace eva::napi {
namespace {

/// OpenMP's threads spin this many iterations after a kernel before they sleep. The default, several
/// milliseconds, would keep cores from Node and the image decoder. libgomp reads the variable in its
/// constructor, which runs after this one because the addon is linked with `-z initfirst`.
const bool set_here = [] {
  const bool was_set = getenv("GOMP_SPINCOUNT") != nullptr;
  if (!was_set) setenv("GOMP_SPINCOUNT", "10000", 0);
  return !was_set;
}();

}  // namespace

void unset_openmp_spinning() {
  [[maybe_unused]] static const int once = set_here ? unsetenv("GOMP_SPINCOUNT") : 0;
}

}  // namespace eva::napi
