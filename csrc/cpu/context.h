#pragma once

namespace eva::cpu {

/// What a kernel knows of the device it runs on.
struct context {
  int threads = 1;  // OpenMP threads of the calling thread's team, oneDNN's as well
};

}  // namespace eva::cpu
