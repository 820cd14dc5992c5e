#include "cuda/usable.h"

#include "core/error.h"
#include "cuda/device/runtime.h"

namespace eva::cuda {

std::string cuda_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

namespace {

/// Ampere: bf16 tensor cores and asynchronous copies to shared memory.
constexpr int min_capability = 80;

/// A driver runs programs that were built with any toolkit of its own major version or an older one (CUDA
/// Compatibility, "Minor Version Compatibility").
constexpr int needed_version = device::built_version / 1000 * 1000;

std::string needed_driver() {
  const std::string release = needed_version == 12000 ? " (525)" : needed_version == 13000 ? " (580)" : "";
  return "a driver for CUDA " + cuda_version(needed_version) + release + " or newer";
}

[[noreturn]] void refuse(const std::string& message, const std::string& needed, const std::string& found) {
  throw device_error(message, {{"needed", needed}, {"found", found}});
}

int device_count() {
  try {
    return device::device_count();
  } catch (const device::error& failure) {
    const std::string reason = failure.what();
    refuse("the NVIDIA driver gives no access to a GPU: " + reason, "a GPU", reason);
  }
}

}  // namespace

void expect_usable(int index) {
  const int driver = device::driver_version();
  const std::string needed = needed_driver();
  if (driver == 0)
    refuse("no NVIDIA driver was found (libcuda.so.1); " + needed + " is needed", needed, "no driver");
  if (driver < needed_version) {
    const std::string found = "a driver for CUDA " + cuda_version(driver);
    refuse("the NVIDIA driver is too old: " + needed + " is needed, found " + found, needed, found);
  }
  const int count = device_count();
  if (count == 0)
    refuse("the NVIDIA driver reports no GPU (CUDA_VISIBLE_DEVICES may hide it)", "a GPU", "none");
  if (index >= count) {
    const std::string number = std::to_string(index), all = std::to_string(count);
    refuse("there is no GPU " + number + ": the NVIDIA driver reports " + all + ", numbered from 0",
           "GPU " + number, all + " GPUs");
  }
  const device::identity found = device::identity_of(index);
  if (const int capability = 10 * found.major + found.minor; capability < min_capability) {
    const std::string version = std::to_string(found.major) + "." + std::to_string(found.minor);
    refuse(found.name + " has compute capability " + version + "; 8.0 (Ampere) or newer is needed", "8.0",
           version);
  }
}

}  // namespace eva::cuda
