#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "capture.h"
#include "cuda_runtime_api.h"
#include "failures.h"
#include "launch.h"
#include "memory_map.h"
#include "stream.h"
#include "watched_memory.h"

namespace eva::emulator {

struct executable_graph {
  graph commands;
  int64_t bytes;
};

}  // namespace eva::emulator

using namespace eva::emulator;

namespace {

/// A call that the device's lock protects; `body` returns its status.
template <class Body> cudaError_t call(const char* function, const Body& body) {
  const std::lock_guard lock(device_lock);
  if (const cudaError_t failed = enter(function)) return failed;
  return result(body());
}

/// A call that a thread must not make while it captures.
template <class Body> cudaError_t uncaptured(const char* function, const Body& body) {
  return call(function, [&] {
    const cudaError_t refused = refused_by_capture();
    return refused ? refused : body();
  });
}

cudaError_t allocate_as(const char* function, memory_kind kind, void** memory, size_t bytes) {
  return uncaptured(function, [&] {
    if (const cudaError_t failed = enter("allocation")) return failed;
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    if (!(*memory = allocate(kind, bytes))) return cudaErrorMemoryAllocation;
    made(*memory);
    return cudaSuccess;
  });
}

// Even a lost device's memory is freed. Freeing waits for all work.
cudaError_t free_as(const char* function, void* memory) {
  if (!memory) return cudaSuccess;
  const cudaError_t status = uncaptured(function, [] {
    run_all();
    return cudaSuccess;
  });
  if (status == cudaErrorStreamCaptureUnsupported) return status;
  destroyed(memory);
  free_allocation(memory);
  return status;
}

template <class T> cudaError_t destroy(T* object) {
  destroyed(object);
  delete object;
  return cudaSuccess;
}

/// Copies from pageable memory read it before they return, and those to it return when it is written; both
/// cannot be captured.
cudaError_t queue_copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, queue& on) {
  if ((kind != cudaMemcpyDeviceToHost && !is_on_device(to, bytes)) ||
      (kind != cudaMemcpyHostToDevice && !is_on_device(from, bytes)))
    return cudaErrorInvalidValue;
  const bool pageable = (kind == cudaMemcpyHostToDevice && !is_pinned(from, bytes)) ||
                        (kind == cudaMemcpyDeviceToHost && !is_pinned(to, bytes));
  if (pageable && on.recording) {
    on.recording->is_valid = false;
    return cudaErrorStreamCaptureUnsupported;
  }
  if (pageable && kind == cudaMemcpyHostToDevice) {
    const auto* first = static_cast<const std::byte*>(from);
    on.append([to, read = std::vector<std::byte>(first, first + bytes)] {
      std::memcpy(to, read.data(), read.size());
      mark_written(to, read.size());
    });
    return cudaSuccess;
  }
  on.append([=] {
    std::memcpy(to, from, bytes);
    mark_written(to, bytes);
  });
  if (pageable) run_until(on.end());
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaGetLastError() { return take_last_error(); }

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorSystemNotReady:
      return "system not yet initialized";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnjoined:
      return "capturing stream has unjoined work";
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
  *found = {"the emulator", size_t(device_bytes), 8, 0};
  return enter("cudaGetDeviceProperties");
}
// Few SMs, so that small tensors need more than one wave of blocks.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? 3 : shared_bytes_per_block();
  return enter("cudaDeviceGetAttribute");
}
cudaError_t cudaSetDevice(int device) {
  current_device = device;
  return enter("cudaSetDevice");
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return enter("cudaGetDevice");
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return allocate_as("cudaMalloc", memory_kind::device, memory, bytes);
}
cudaError_t cudaMallocManaged(void** memory, size_t bytes) {
  return allocate_as("cudaMallocManaged", memory_kind::managed, memory, bytes);
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return allocate_as("cudaMallocHost", memory_kind::pinned, memory, bytes);
}
cudaError_t cudaFree(void* memory) { return free_as("cudaFree", memory); }
cudaError_t cudaFreeHost(void* memory) { return free_as("cudaFreeHost", memory); }
cudaError_t cudaMemGetInfo(size_t* available, size_t* all) {
  *available = size_t(std::max<int64_t>(0, free_device_bytes()));
  *all = size_t(device_bytes);
  return enter("cudaMemGetInfo");
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t on) {
  return call("cudaMemcpyAsync",
              [&] { return bytes == 0 ? cudaSuccess : queue_copy(to, from, bytes, kind, queue_of(on)); });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t on) {
  return call("cudaMemsetAsync", [&] {
    if (!is_on_device(to, bytes)) return cudaErrorInvalidValue;
    queue_of(on).append([=] {
      std::memset(to, value, bytes);
      mark_written(to, bytes);
    });
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* opened, unsigned) {
  return call("cudaStreamCreate", [&] {
    *opened = open_queue().get();
    made(*opened);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(device_lock);
  destroyed(stream);
  close_queue(queue_of(stream).shared_from_this());
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call("cudaStreamSynchronize", [&] {
    queue& on = queue_of(stream);
    if (on.recording) {
      on.recording->is_valid = false;
      return cudaErrorStreamCaptureUnsupported;
    }
    run_until(on.end());
    return device_status();
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t at, unsigned) {
  return call("cudaStreamWaitEvent", [&] { return wait_for(*at, queue_of(stream)); });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return call("cudaStreamBeginCapture", [&] { return begin_capture(queue_of(stream)); });
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* ended) {
  *ended = nullptr;
  const cudaError_t status = call("cudaStreamEndCapture", [&] {
    std::unique_ptr<graph> captured;
    const cudaError_t failed = end_capture(queue_of(stream), captured);
    if (captured) made(*ended = captured.release());
    return failed;
  });
  const std::lock_guard lock(device_lock);
  if (status) abandon_capture(queue_of(stream));
  return status;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* opened, cudaGraph_t from, unsigned long long) {
  return uncaptured("cudaGraphInstantiate", [&] {
    *opened = new executable_graph{*from, int64_t(from->nodes.size()) * 64};
    reserve_device_bytes((*opened)->bytes);
    made(*opened);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroy(graph); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  reserve_device_bytes(-executable->bytes);
  return destroy(executable);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t on) {
  return call("cudaGraphLaunch", [&] {
    executable->commands.launch(queue_of(on));
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* opened, unsigned flags) {
  return call("cudaEventCreate", [&] {
    *opened = new event{.timed = !(flags & cudaEventDisableTiming)};
    made(*opened);
    return cudaSuccess;
  });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroy(event); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t on) {
  return call("cudaEventRecord", [&] {
    record(*event, queue_of(on));
    return cudaSuccess;
  });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call("cudaEventQuery", [&] {
    if (event->recorded_in) return cudaErrorCapturedEvent;
    return event->at.passed() ? cudaSuccess : cudaErrorNotReady;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call("cudaEventSynchronize", [&] {
    if (event->recorded_in) return cudaErrorCapturedEvent;
    run_until(event->at);
    return device_status();
  });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call("cudaEventElapsedTime", [&] {
    if (!start->timed || !end->timed || !start->at.in || !end->at.in) return cudaErrorInvalidResourceHandle;
    if (!start->at.passed() || !end->at.passed()) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(*end->reached - *start->reached).count();
    return cudaSuccess;
  });
}
