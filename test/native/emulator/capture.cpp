#include "capture.h"

#include <algorithm>

namespace eva::emulator {
namespace {

/// The capture that this thread has begun.
thread_local std::shared_ptr<capture> own_capture;

void merge(std::vector<size_t>& into, const std::vector<size_t>& more) {
  for (const size_t each : more)
    if (std::find(into.begin(), into.end(), each) == into.end()) into.push_back(each);
}

}  // namespace

void graph::launch(queue& on) const {
  std::vector<size_t> unmet(nodes.size());
  std::vector<size_t> ready;
  for (size_t i = 0; i < nodes.size(); ++i)
    if ((unmet[i] = nodes[i].after.size()) == 0) ready.push_back(i);
  while (!ready.empty()) {
    const auto next = ready.begin() + ptrdiff_t(choose(ready.size()));
    const size_t run = *next;
    ready.erase(next);
    on.append(nodes[run].work);
    for (size_t i = run + 1; i < nodes.size(); ++i)
      if (std::count(nodes[i].after.begin(), nodes[i].after.end(), run) && --unmet[i] == 0)
        ready.push_back(i);
  }
}

size_t capture::add(command work, const std::vector<size_t>& after) {
  nodes.push_back({std::move(work), after});
  return nodes.size() - 1;
}

bool capture::is_joined() const {
  std::vector<bool> reached(nodes.size());
  std::vector<size_t> next = origin->frontier;
  while (!next.empty()) {
    const size_t at = next.back();
    next.pop_back();
    if (reached[at]) continue;
    reached[at] = true;
    next.insert(next.end(), nodes[at].after.begin(), nodes[at].after.end());
  }
  return std::find(reached.begin(), reached.end(), false) == reached.end();
}

cudaError_t begin_capture(queue& on) {
  if (on.recording || own_capture) return cudaErrorIllegalState;
  own_capture = on.recording = std::make_shared<capture>();
  own_capture->origin = &on;
  own_capture->joined = {on.shared_from_this()};
  on.frontier.clear();
  return cudaSuccess;
}

cudaError_t end_capture(queue& on, std::unique_ptr<graph>& made) {
  const std::shared_ptr<capture> ended = on.recording;
  if (!ended || ended->origin != &on) return cudaErrorIllegalState;
  if (ended != own_capture) return cudaErrorStreamCaptureWrongThread;
  const bool joined = ended->is_joined();
  own_capture = nullptr;
  for (const auto& each : ended->joined) each->recording = nullptr;
  if (!ended->is_valid) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  made = std::make_unique<graph>(*ended);
  return cudaSuccess;
}

void abandon_capture(queue& on) {
  std::unique_ptr<graph> dropped;
  end_capture(on, dropped);
}

cudaError_t refused_by_capture() {
  if (!own_capture) return cudaSuccess;
  own_capture->is_valid = false;
  return cudaErrorStreamCaptureUnsupported;
}

void record(event& at, queue& on) {
  at.recorded_in = on.recording;
  at.frontier = on.frontier;
  if (at.recorded_in) return;
  if (at.timed) on.append([reached = at.reached] { *reached = std::chrono::steady_clock::now(); });
  at.at = on.end();
}

cudaError_t wait_for(const event& at, queue& on) {
  if (!at.recorded_in) {
    if (on.recording) return cudaErrorStreamCaptureIsolation;
    on.append({}, at.at);
    return cudaSuccess;
  }
  if (at.recorded_in->origin->recording != at.recorded_in) return cudaErrorCapturedEvent;
  if (on.recording && on.recording != at.recorded_in) return cudaErrorStreamCaptureMerge;
  if (!on.recording) {
    on.recording = at.recorded_in;
    on.recording->joined.push_back(on.shared_from_this());
    on.frontier.clear();
  }
  merge(on.frontier, at.frontier);
  return cudaSuccess;
}

}  // namespace eva::emulator
