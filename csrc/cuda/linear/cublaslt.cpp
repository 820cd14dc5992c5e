#include "cuda/linear/cublaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "core/error.h"

namespace eva::cuda::cublaslt {
namespace {

namespace fs = std::filesystem;

constexpr const char* names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

/// The folders of NVIDIA's packages that hold the library, relative to EVA_CLIP_CUBLASLT.
constexpr const char* folders[] = {"", "lib", "lib64", "nvidia/cu13/lib", "nvidia/cublas/lib"};

std::vector<std::string> candidates(const char* given) {
  std::vector<std::string> paths;
  if (!given || !*given) {
    paths.assign(std::begin(names), std::end(names));
    for (const char* name : names) paths.push_back(std::string("/usr/local/cuda/lib64/") + name);
    return paths;
  }
  std::error_code ignored;  // dlopen reports why a path is unusable
  if (!fs::is_directory(given, ignored)) return {given};
  for (const char* folder : folders)
    for (const char* name : names) {
      const fs::path path = fs::path(given) / folder / name;
      if (fs::exists(path, ignored)) paths.push_back(path);
    }
  return paths;
}

template <class Function> void find(void* opened, const char* name, Function& target) {
  target = reinterpret_cast<Function>(dlsym(opened, name));
  if (!target)
    throw device_error(std::string("cuBLASLt has no ") + name + "; 12.0 or newer is needed",
                       {{"needed", name}});
}

functions find_all(void* opened) {
  functions call;
  find(opened, "cublasLtCreate", call.cublasLtCreate);
  find(opened, "cublasLtDestroy", call.cublasLtDestroy);
  find(opened, "cublasLtGetVersion", call.cublasLtGetVersion);
  find(opened, "cublasLtGetStatusString", call.cublasLtGetStatusString);
  find(opened, "cublasLtMatmulDescCreate", call.cublasLtMatmulDescCreate);
  find(opened, "cublasLtMatmulDescDestroy", call.cublasLtMatmulDescDestroy);
  find(opened, "cublasLtMatmulDescSetAttribute", call.cublasLtMatmulDescSetAttribute);
  find(opened, "cublasLtMatrixLayoutCreate", call.cublasLtMatrixLayoutCreate);
  find(opened, "cublasLtMatrixLayoutDestroy", call.cublasLtMatrixLayoutDestroy);
  find(opened, "cublasLtMatrixLayoutSetAttribute", call.cublasLtMatrixLayoutSetAttribute);
  find(opened, "cublasLtMatmulPreferenceCreate", call.cublasLtMatmulPreferenceCreate);
  find(opened, "cublasLtMatmulPreferenceDestroy", call.cublasLtMatmulPreferenceDestroy);
  find(opened, "cublasLtMatmulPreferenceSetAttribute", call.cublasLtMatmulPreferenceSetAttribute);
  find(opened, "cublasLtMatmulAlgoGetHeuristic", call.cublasLtMatmulAlgoGetHeuristic);
  find(opened, "cublasLtMatmulAlgoCheck", call.cublasLtMatmulAlgoCheck);
  find(opened, "cublasLtMatmul", call.cublasLtMatmul);
  return call;
}

std::string path_of(void* symbol, const std::string& asked) {
  Dl_info found;
  return dladdr(symbol, &found) != 0 && found.dli_fname ? found.dli_fname : asked;
}

}  // namespace

library open() {
  const char* given = std::getenv("EVA_CLIP_CUBLASLT");
  std::string tried;
  for (const std::string& path : candidates(given)) {
    if (void* opened = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      const functions call = find_all(opened);
      return {call, path_of(reinterpret_cast<void*>(call.cublasLtMatmul), path)};
    }
    // The reason names the path.
    tried += (tried.empty() ? "" : "; ") + std::string(dlerror());
  }
  if (tried.empty()) tried = std::string(given) + " (no cuBLASLt in this folder)";
  throw device_error("cuBLASLt cannot be opened (" + tried +
                         "); install CUDA 12 or 13 or the Python package nvidia-cublas-cu12 or "
                         "nvidia-cublas, and set EVA_CLIP_CUBLASLT to the library "
                         "or its site-packages folder",
                     {{"needed", names[0]}, {"tried", tried}});
}

}  // namespace eva::cuda::cublaslt
