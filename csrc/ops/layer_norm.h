#pragma once

#include "ops/op.h"

namespace eva::ops {

/// y = (x - mean) rstd weight + bias (+ residual) over the last axis (Ba et al. 2016, section 3). With
/// `centered` false the mean is taken as zero, which gives RMSNorm (Zhang and Sennrich 2019). The residual is
/// for post-norm blocks, which add the normalized branch to it.
struct layer_norm {
  static constexpr auto name = "layer_norm";
  struct args {
    tensor x;         // [..., C]
    tensor weight;    // [C] f32
    tensor bias;      // [C] f32, optional
    tensor residual;  // [..., C], x's type, optional
    tensor y;         // [..., C]
    tensor mean;      // [...] f32, kept for the backward pass
    tensor rstd;      // [...] f32
    float eps = 1e-6f;
    bool centered = true;
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x},
                                            input{"weight", &args::weight},
                                            optional_input{"bias", &args::bias},
                                            optional_input{"residual", &args::residual},
                                            output{"y", &args::y},
                                            output{"mean", &args::mean},
                                            output{"rstd", &args::rstd},
                                            attribute{"eps", &args::eps},
                                            attribute{"centered", &args::centered}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    for (auto [field, t] : {std::pair{"weight", &a.weight}, std::pair{"bias", &a.bias}}) {
      if (!t->present()) continue;
      expect_shape(name, field, *t, {a.x.columns()});
      expect_type(name, field, *t, dtype::f32);
    }
    if (a.residual.present()) {
      expect_shape(name, "residual", a.residual, a.x.dims);
      expect_type(name, "residual", a.residual, a.x.type);
    }
    a.y = {a.x.type, a.x.dims};
    a.mean = a.rstd = {dtype::f32, leading(a.x.dims)};
  }
};

/// dx, dweight and dbias of layer_norm (Ba et al. 2016, appendix). It can recompute layer_norm's y, which
/// therefore need not be kept, and sum the columns of dx, which gives the gradient of a bias added to x.
struct layer_norm_backward {
  static constexpr auto name = "layer_norm_backward";
  struct args {
    tensor dy;        // [..., C]
    tensor x;         // [..., C]
    tensor weight;    // [C] f32
    tensor bias;      // [C] f32, optional: as in layer_norm, read only to recompute y
    tensor mean;      // [...] f32, absent for RMSNorm
    tensor rstd;      // [...] f32
    tensor residual;  // [..., C], optional: another gradient of x, added to dx
    tensor dx;        // [..., C]
    tensor dweight;   // [C] f32
    tensor dbias;     // [C] f32
    tensor dx_sums;   // [C] f32, the column sums of dx
    tensor y;         // [..., C], layer_norm's result without its residual
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy},
                                            input{"x", &args::x},
                                            input{"weight", &args::weight},
                                            optional_input{"bias", &args::bias},
                                            optional_input{"mean", &args::mean},
                                            input{"rstd", &args::rstd},
                                            optional_input{"residual", &args::residual},
                                            output{"dx", &args::dx},
                                            output{"dweight", &args::dweight},
                                            output{"dbias", &args::dbias},
                                            output{"dx_sums", &args::dx_sums, &args::dx},
                                            output{"y", &args::y}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    expect(name, "dy", a.dy, a.x.type, a.x.dims);
    expect(name, "weight", a.weight, dtype::f32, {a.x.columns()});
    expect_if_present(name, "bias", a.bias, dtype::f32, {a.x.columns()});
    expect_if_present(name, "mean", a.mean, dtype::f32, leading(a.x.dims));
    expect(name, "rstd", a.rstd, dtype::f32, leading(a.x.dims));
    expect_if_present(name, "residual", a.residual, a.x.type, a.x.dims);
    a.dx = a.y = {a.x.type, a.x.dims};
    a.dweight = a.dbias = a.dx_sums = {dtype::f32, a.weight.dims};
  }
};

}  // namespace eva::ops
