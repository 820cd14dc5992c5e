#pragma once

namespace eva::cpu {

/// State of the device that is passed to its kernels.
struct context {
  int threads = 1;  // size of the OpenMP team, which oneDNN uses, too
};

}  // namespace eva::cpu
