#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "cuda_runtime_api.h"

namespace {

std::mutex mutex;
std::map<std::string, cudaError_t> injected;
std::map<void*, int> objects;  // and the device on which each was made
thread_local cudaError_t last = cudaSuccess;
thread_local int current = 0;

/// The result of a call: an injected error, which becomes the thread's last error, or success.
cudaError_t enter(const char* function) {
  const std::lock_guard lock(mutex);
  const auto found = injected.find(function);
  if (found == injected.end()) return cudaSuccess;
  last = found->second;
  injected.erase(found);
  return last;
}

template <class T> cudaError_t make(const char* function, T** made, size_t bytes = 1) {
  if (const cudaError_t failed = enter(function)) return failed;
  *made = static_cast<T*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  const std::lock_guard lock(mutex);
  objects[*made] = current;
  return cudaSuccess;
}

cudaError_t destroy(void* object) {
  const std::lock_guard lock(mutex);
  objects.erase(object);
  std::free(object);
  return cudaSuccess;
}

}  // namespace

namespace fake {

void fail_next(const char* function, cudaError_t with) {
  const std::lock_guard lock(mutex);
  injected[function] = with;
}
// Like csrc/cuda/device/launch.cuh, it reports the thread's last error, whichever call caused it.
cudaError_t launch() {
  enter("launch");
  return cudaGetLastError();
}
cudaError_t last_error() { return last; }
int alive() { return int(objects.size()); }
int on_other_devices() {
  int count = 0;
  for (const auto& [object, device] : objects) count += device != 0;
  return count;
}

}  // namespace fake

cudaError_t cudaGetLastError() {
  const cudaError_t found = last;
  last = cudaSuccess;
  return found;
}
const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorSystemNotReady:
      return "system not yet initialized";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return "invalid argument";
  }
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 2;
  return enter("cudaGetDeviceCount");
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int) {
  *found = {"fake", size_t(1) << 30, 9, 0};
  return enter("cudaGetDeviceProperties");
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 1 << 16;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  current = device;
  return enter("cudaSetDevice");
}
cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) { return make("cudaMalloc", memory, bytes); }
cudaError_t cudaMallocManaged(void** memory, size_t bytes) { return make("cudaMalloc", memory, bytes); }
cudaError_t cudaFree(void* memory) { return destroy(memory); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) { return make("cudaMallocHost", memory, bytes); }
cudaError_t cudaFreeHost(void* memory) { return destroy(memory); }
cudaError_t cudaMemGetInfo(size_t* available, size_t* all) {
  *available = *all = size_t(1) << 30;
  return enter("cudaMemGetInfo");
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return enter("cudaMemcpyAsync");
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* made, unsigned) { return make("cudaStreamCreate", made); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return destroy(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return enter("cudaStreamSynchronize"); }
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  return enter("cudaStreamBeginCapture");
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* made) {
  return make("cudaStreamEndCapture", made);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t, unsigned long long) {
  return make("cudaGraphInstantiate", made);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroy(graph); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return destroy(executable); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { return enter("cudaGraphLaunch"); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* made, unsigned) { return make("cudaEventCreate", made); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroy(event); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return enter("cudaEventRecord"); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return enter("cudaEventSynchronize"); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return enter("cudaEventElapsedTime");
}
