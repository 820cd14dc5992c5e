#include "failures.h"

#include <map>
#include <mutex>

#include "stream.h"

namespace eva::emulator {
namespace {

struct injection {
  int countdown;
  cudaError_t status;
};

std::mutex mutex;
std::map<std::string, injection> injected;
std::map<const void*, int> objects;  // and the device on which each was made
cudaError_t lost = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;

cudaError_t injected_failure(const std::string& function) {
  const auto found = injected.find(function);
  if (found == injected.end() || --found->second.countdown > 0) return cudaSuccess;
  const cudaError_t status = found->second.status;
  injected.erase(found);
  return status;
}

}  // namespace

void fail_nth(const std::string& function, int n, cudaError_t with) {
  const std::lock_guard lock(mutex);
  injected[function] = {n, with};
}

bool withdraw_failure(const std::string& function) {
  const std::lock_guard lock(mutex);
  return injected.erase(function) > 0;
}

void lose_device(cudaError_t with) {
  const std::lock_guard lock(mutex);
  lost = with;
}

void restore_device() {
  lose_device(cudaSuccess);
  last = cudaSuccess;
}

cudaError_t last_error() { return last; }

cudaError_t take_last_error() {
  const cudaError_t found = last;
  last = cudaSuccess;
  return lost != cudaSuccess ? lost : found;
}

cudaError_t result(cudaError_t status) {
  if (status != cudaSuccess) last = status;
  return status;
}

cudaError_t enter(const std::string& function) {
  const std::lock_guard lock(mutex);
  return result(lost != cudaSuccess ? lost : injected_failure(function));
}

cudaError_t device_status() {
  const std::lock_guard lock(mutex);
  return lost;
}

bool device_fails_in(const std::string& what) {
  const std::lock_guard lock(mutex);
  if (lost == cudaSuccess) lost = injected_failure(what);
  return lost != cudaSuccess;
}

void made(const void* object) {
  const std::lock_guard lock(mutex);
  objects[object] = current_device;
}

void destroyed(const void* object) {
  const std::lock_guard lock(mutex);
  objects.erase(object);
}

int alive() {
  const std::lock_guard lock(mutex);
  return int(objects.size());
}

int on_other_devices() {
  const std::lock_guard lock(mutex);
  int count = 0;
  for (const auto& [object, device] : objects) count += device != 0;
  return count;
}

}  // namespace eva::emulator
