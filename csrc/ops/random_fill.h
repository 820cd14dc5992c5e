#pragma once

#include "ops/op.h"

namespace eva::ops {

/// Fills parameters with normal deviates (Box and Muller 1958) from Philox 4x32-10, each tensor i with
/// standard deviation deviations[i], cut at ± cut standard deviations by drawing again (cut 0: not cut).
/// Element e of tensor i uses counter (low word of e, i + first, draw, high word of e), key (seed,
/// 0x66696c6c), and is the same on every backend.
struct random_fill {
  static constexpr auto name = "random_fill";
  struct args {
    tensors parameters;                    // f32 or bf16, any shapes
    std::vector<float> deviations, means;  // [tensors] each
    float cut = 0;
    int64_t seed = 0;
    int64_t first = 0;
  };
  static constexpr auto fields = std::tuple{inout_list{"parameters", &args::parameters},
                                            attribute{"deviations", &args::deviations},
                                            attribute{"means", &args::means},
                                            attribute{"cut", &args::cut},
                                            attribute{"seed", &args::seed},
                                            attribute{"first", &args::first}};
  static void infer(args& a) {
    expect(a.deviations.size() == a.parameters.size() && a.means.size() == a.parameters.size(), name,
           "one deviation and one mean a parameter");
    for (const tensor& parameter : a.parameters) expect_float(name, "parameters", parameter);
  }
};

}  // namespace eva::ops
