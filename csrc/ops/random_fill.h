#pragma once

#include "ops/op.h"

namespace eva::ops {

/// Fills parameters with normal deviates from Philox 4x32-10: element e of tensor i is means[i] +
/// deviations[i] z. A draw of z takes words 0 and 1 at counter (low word of e, i + first, draw, high word of
/// e), key (seed, 0x66696c6c); with u = (word 0 >> 9 + 1/2) / 2²³ and v = (word 1 >> 8) / 2²⁴,
/// z = sqrt(-2 ln u) cos(2 π v) (Box and Muller 1958). Draws 0, 1, … are tried until |z| <= cut; cut 0
/// accepts the first. Elements are numbered without padding, which is set to zero. All backends draw the
/// same numbers, up to the rounding of log and cos.
struct random_fill {
  static constexpr auto name = "random_fill";
  struct args {
    tensors parameters;                    // f32 or bf16, any shapes
    std::vector<float> deviations, means;  // [tensors] each
    float cut = 0;
    int64_t seed = 0;
    int64_t first = 0;
    std::vector<int64_t> rows{}, columns{};  // [tensors] each: what is not padding; empty: everything
  };
  static constexpr auto fields = std::tuple{inout_list{"parameters", &args::parameters},
                                            attribute{"deviations", &args::deviations},
                                            attribute{"means", &args::means},
                                            attribute{"rows", &args::rows},
                                            attribute{"columns", &args::columns},
                                            attribute{"cut", &args::cut},
                                            attribute{"seed", &args::seed},
                                            attribute{"first", &args::first}};
  static void infer(args& a) {
    expect(a.deviations.size() == a.parameters.size() && a.means.size() == a.parameters.size(), name,
           "deviations and means must have one entry per parameter");
    for (const tensor& parameter : a.parameters) expect_float(name, "parameters", parameter);
    if (a.rows.empty() && a.columns.empty()) return;
    expect(a.rows.size() == a.parameters.size() && a.columns.size() == a.parameters.size(), name,
           "rows and columns must have one entry per parameter");
    for (size_t i = 0; i < a.parameters.size(); ++i)
      expect(0 <= a.rows[i] && a.rows[i] <= a.parameters[i].rows() && 0 <= a.columns[i] &&
                 a.columns[i] <= a.parameters[i].columns(),
             name, "rows and columns must not exceed those of the parameter");
  }
};

}  // namespace eva::ops
