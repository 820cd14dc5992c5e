#include "runtime/backend_library.h"

#include <dlfcn.h>

#include "core/error.h"

namespace eva {

std::shared_ptr<backend> open_backend_library(const std::string& path, const backend_interface& expected,
                                              int index) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library)
    throw device_error("cannot load the backend library: " + std::string(dlerror()), {{"path", path}});
  const auto* found = static_cast<const backend_interface*>(dlsym(library, "eva_clip_backend_interface"));
  const auto open = reinterpret_cast<backend* (*)(int)>(dlsym(library, "eva_clip_open_backend"));
  if (!found || !open) throw device_error(path + " is not an eva-clip backend library", {{"path", path}});
  if (!(*found == expected))
    throw device_error(path + " was built from different sources than the addon; rebuild both",
                       {{"path", path}});
  return std::shared_ptr<backend>(open(index));
}

}  // namespace eva
