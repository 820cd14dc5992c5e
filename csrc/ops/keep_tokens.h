#pragma once

#include <limits>

#include "ops/op.h"

namespace eva::ops {

/// kept[b] = the `keep` patches of image b with the smallest random keys, in ascending order of index: patch
/// dropout (Li et al. 2023, FLIP). The key of patch p is a word of the counter-based Philox 4x32-10 generator
/// (Salmon et al. 2011) at counter (p / 4, b, step, 0), word p % 4, key (seed, 0x6b656570); ties are broken
/// by index. All backends keep the same patches for the same seed and step.
struct keep_tokens {
  static constexpr auto name = "keep_tokens";
  struct args {
    tensor seed;  // [2] i32: seed, step
    tensor kept;  // [B, keep] i32
    int64_t batch = 1;
    int64_t tokens = 1;
    int64_t keep = 1;
  };
  static constexpr auto fields =
      std::tuple{input{"seed", &args::seed}, output{"kept", &args::kept}, attribute{"batch", &args::batch},
                 attribute{"tokens", &args::tokens}, attribute{"keep", &args::keep}};
  static void infer(args& a) {
    expect_type(name, "seed", a.seed, dtype::i32);
    expect_shape(name, "seed", a.seed, {2});
    expect(a.tokens <= std::numeric_limits<int32_t>::max(), name, "tokens must be less than 2^31");
    expect(a.batch > 0 && 0 < a.keep && a.keep <= a.tokens, name, "0 < keep <= tokens");
    a.kept = {dtype::i32, {a.batch, a.keep}};
  }
};

/// Stochastic depth (Huang et al. 2016): each sample's branch is dropped with probability `rate`, and scaled
/// by 1 / (1 - rate) when kept; plus the residual, when given. The draw of sample b is word 0 of Philox
/// 4x32-10 at counter (stream, b, step, 0), key (seed, 0x70617468); it is dropped when word / 2³² < rate. The
/// gradient of x is the same op.
struct drop_path {
  static constexpr auto name = "drop_path";
  struct args {
    tensor x;         // [B, ...]
    tensor seed;      // [2] i32: seed, step
    tensor residual;  // [B, ...], optional
    tensor y;         // [B, ...]
    float rate = 0;
    int64_t stream = 0;  // distinct for each use in the model
  };
  static constexpr auto fields = std::tuple{
      input{"x", &args::x},  input{"seed", &args::seed},     optional_input{"residual", &args::residual},
      output{"y", &args::y}, attribute{"rate", &args::rate}, attribute{"stream", &args::stream}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    expect_type(name, "seed", a.seed, dtype::i32);
    expect_shape(name, "seed", a.seed, {2});
    expect(0 <= a.rate && a.rate < 1, name, "rate must be in [0, 1)");
    expect_if_present(name, "residual", a.residual, a.x.type, a.x.dims);
    a.y = {a.x.type, a.x.dims};
  }
};

}  // namespace eva::ops
