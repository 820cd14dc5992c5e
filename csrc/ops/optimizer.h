#pragma once

#include "ops/op.h"

namespace eva::ops {

/// norm = the square root of the sum of squares of all gradients, accumulated in double.
struct global_norm {
  static constexpr auto name = "global_norm";
  struct args {
    tensors gradients;  // f32, any shapes
    tensor norm;        // [] f32
  };
  static constexpr auto fields =
      std::tuple{input_list{"gradients", &args::gradients}, output{"norm", &args::norm}};
  static void infer(args& a) {
    for (const tensor& gradient : a.gradients) expect_type(name, "gradients", gradient, dtype::f32);
    a.norm = {dtype::f32, {}};
  }
};

enum class lamb_variant : uint8_t { paper, apex, deepspeed };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<lamb_variant>{"paper", "apex", "deepspeed"};

/// Checks shared by LAMB and AdamW.
template <class Args> void check_update(const char* op, const Args& a) {
  const size_t count = a.parameters.size();
  expect(a.gradients.size() == count && a.first_moments.size() == count && a.second_moments.size() == count,
         op, "gradients and moments must have one entry per parameter");
  expect(a.copies.empty() || a.copies.size() == count, op, "copies must have one entry per parameter");
  expect(a.weight_decays.size() == count, op, "weight_decays must have one entry per parameter");
  for (size_t i = 0; i < count; ++i) {
    const shape& dims = a.parameters[i].dims;
    for (auto [field, list] :
         {std::pair{"parameters", &a.parameters}, std::pair{"gradients", &a.gradients},
          std::pair{"first_moments", &a.first_moments}, std::pair{"second_moments", &a.second_moments}}) {
      expect_type(op, field, (*list)[i], dtype::f32);
      expect_shape(op, field, (*list)[i], dims);
    }
    if (!a.copies.empty()) expect_if_present(op, "copies", a.copies[i], dtype::bf16, dims);
  }
  expect_type(op, "norm", a.norm, dtype::f32);
  expect_size(op, "norm", a.norm, 1);
  expect(op, "learning_rates", a.learning_rates, dtype::f32, {int64_t(count)});
  expect_size(op, "step", a.step, 1);
  expect_type(op, "step", a.step, dtype::i32);
}

/// One step of LAMB (You et al. 2020, algorithm 2) with one trust ratio per tensor. With g the clipped
/// gradient, g = gradient · min(1, clip_norm / (norm + 1e-6)) (clip_norm 0: not clipped) and t = step ≥ 1:
///   m = β1 m + (1 - β1) g,  v = β2 v + (1 - β2) g²,  η = learning_rates[i]
///   paper, apex:  u = (m / (1 - β1ᵗ)) / (sqrt(v / (1 - β2ᵗ)) + eps) + wd p,  ratio = ‖p‖ / ‖u‖,
///                 p -= η ratio u
///   deepspeed:    u = m / (sqrt(v) + eps) + wd p,  ratio = clamp(‖p‖ / ‖u‖, 0.01, 10),
///                 p -= η sqrt(1 - β2ᵗ) / (1 - β1ᵗ) ratio u
/// The ratio is 1 if ‖p‖, ‖u‖ or adapt[i] is 0. copies[i] becomes p, rounded. If norm is not finite, nothing
/// changes.
struct lamb_update {
  static constexpr auto name = "lamb_update";
  struct args {
    tensors parameters;                       // f32, any shapes
    tensors gradients;                        // f32, the same shapes
    tensors first_moments;                    // f32, the same shapes
    tensors second_moments;                   // f32, the same shapes
    tensors copies;                           // bf16, the same shapes, absent where there is none; or empty
    tensor norm;                              // [] f32, global norm of the gradients
    tensor learning_rates;                    // [tensors] f32, of this step
    tensor step;                              // [] i32, 1 for the first update
    tensor trust_ratios;                      // [tensors] f32
    tensor partials;                          // [tensors, 2] f32: ‖p‖², ‖u‖²
    std::vector<float> weight_decays, adapt;  // [tensors] each
    float beta1 = 0.9f, beta2 = 0.98f, eps = 1e-6f, clip_norm = 0;
    lamb_variant variant = lamb_variant::paper;
  };
  static constexpr auto fields = std::tuple{inout_list{"parameters", &args::parameters},
                                            input_list{"gradients", &args::gradients},
                                            inout_list{"first_moments", &args::first_moments},
                                            inout_list{"second_moments", &args::second_moments},
                                            inout_list{"copies", &args::copies},
                                            input{"norm", &args::norm},
                                            input{"learning_rates", &args::learning_rates},
                                            input{"step", &args::step},
                                            output{"trust_ratios", &args::trust_ratios},
                                            scratch{"partials", &args::partials},
                                            attribute{"weight_decays", &args::weight_decays},
                                            attribute{"adapt", &args::adapt},
                                            attribute{"beta1", &args::beta1},
                                            attribute{"beta2", &args::beta2},
                                            attribute{"eps", &args::eps},
                                            attribute{"clip_norm", &args::clip_norm},
                                            attribute{"variant", &args::variant}};
  static void infer(args& a) {
    check_update(name, a);
    const int64_t count = int64_t(a.parameters.size());
    expect(int64_t(a.adapt.size()) == count, name, "adapt must have one entry per parameter");
    a.trust_ratios = {dtype::f32, {count}};
    a.partials = {dtype::f32, {count, 2}};
  }
};

/// One step of AdamW (Loshchilov and Hutter 2019, algorithm 2): with g, m, v and η as in lamb_update,
///   p -= η ((m / (1 - β1ᵗ)) / (sqrt(v / (1 - β2ᵗ)) + eps) + wd p)
/// copies[i] becomes p, rounded. If norm is not finite, nothing changes.
struct adamw_update {
  static constexpr auto name = "adamw_update";
  struct args {
    tensors parameters;                // f32, any shapes
    tensors gradients;                 // f32, the same shapes
    tensors first_moments;             // f32, the same shapes
    tensors second_moments;            // f32, the same shapes
    tensors copies;                    // bf16, the same shapes, absent where there is none; or empty
    tensor norm;                       // [] f32
    tensor learning_rates;             // [tensors] f32, of this step
    tensor step;                       // [] i32
    std::vector<float> weight_decays;  // [tensors] each
    float beta1 = 0.9f, beta2 = 0.98f, eps = 1e-6f, clip_norm = 0;
  };
  static constexpr auto fields = std::tuple{inout_list{"parameters", &args::parameters},
                                            input_list{"gradients", &args::gradients},
                                            inout_list{"first_moments", &args::first_moments},
                                            inout_list{"second_moments", &args::second_moments},
                                            inout_list{"copies", &args::copies},
                                            input{"norm", &args::norm},
                                            input{"learning_rates", &args::learning_rates},
                                            input{"step", &args::step},
                                            attribute{"weight_decays", &args::weight_decays},
                                            attribute{"beta1", &args::beta1},
                                            attribute{"beta2", &args::beta2},
                                            attribute{"eps", &args::eps},
                                            attribute{"clip_norm", &args::clip_norm}};
  static void infer(args& a) { check_update(name, a); }
};

/// Clamps parameters to [minimum, maximum]: the logit scale after each step.
struct clamp_update {
  static constexpr auto name = "clamp_update";
  struct args {
    tensors parameters;  // f32
    float minimum = 0, maximum = 0;
  };
  static constexpr auto fields =
      std::tuple{inout_list{"parameters", &args::parameters}, attribute{"minimum", &args::minimum},
                 attribute{"maximum", &args::maximum}};
  static void infer(args& a) {
    for (const tensor& parameter : a.parameters) expect_type(name, "parameters", parameter, dtype::f32);
    expect(a.minimum <= a.maximum, name, "minimum must not exceed maximum");
  }
};

/// Exponential moving averages of parameters, after an update of these:
///   averages[i] += (1 - decay) (parameters[i] - averages[i])
/// If norm is not finite, nothing changes, as in the update.
struct ema_update {
  static constexpr auto name = "ema_update";
  struct args {
    tensors averages;    // f32, any shapes
    tensors parameters;  // f32, the same shapes
    tensor norm;         // [] f32, global norm of the gradients
    float decay = 0.9999f;
  };
  static constexpr auto fields =
      std::tuple{inout_list{"averages", &args::averages}, input_list{"parameters", &args::parameters},
                 input{"norm", &args::norm}, attribute{"decay", &args::decay}};
  static void infer(args& a) {
    const size_t count = a.averages.size();
    expect(a.parameters.size() == count, name, "parameters must have one entry per average");
    for (size_t i = 0; i < count; ++i) {
      expect_type(name, "averages", a.averages[i], dtype::f32);
      expect(name, "parameters", a.parameters[i], dtype::f32, a.averages[i].dims);
    }
    expect_type(name, "norm", a.norm, dtype::f32);
    expect_size(name, "norm", a.norm, 1);
    expect(a.decay >= 0 && a.decay <= 1, name, "decay must be from 0 to 1");
  }
};

}  // namespace eva::ops
