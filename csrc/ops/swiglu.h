#pragma once

#include "ops/op.h"

namespace eva::ops {

/// The columns of h that are not padding.
template <class Args> int64_t swiglu_columns(const Args& a) {
  return a.columns == 0 ? a.x.columns() / 2 : a.columns;
}

/// h = silu(gate) ∘ value (Shazeer 2020), and with a weight and a bias y = LN(h): EVA-02's sub-LN. If only
/// the first `columns` of the F columns are not padding (gate, value, weight and bias of padding are zero),
/// the statistics of LN are taken over those.
struct swiglu {
  static constexpr auto name = "swiglu";
  struct args {
    tensor x;       // [..., 2 F]: gate, then value
    tensor weight;  // [F] f32, optional
    tensor bias;    // [F] f32, optional
    tensor y;       // [..., F]
    tensor mean;    // [...] f32, of h; meaningful only with a weight
    tensor rstd;    // [...] f32
    float eps = 1e-6f;
    int64_t columns = 0;  // 0: all F
  };
  static constexpr auto fields = std::tuple{input{"x", &args::x},
                                            optional_input{"weight", &args::weight},
                                            optional_input{"bias", &args::bias},
                                            output{"y", &args::y},
                                            output{"mean", &args::mean},
                                            output{"rstd", &args::rstd},
                                            attribute{"eps", &args::eps},
                                            attribute{"columns", &args::columns}};
  static void infer(args& a) {
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    expect(a.x.columns() % 2 == 0, name, "x must have an even number of columns: gate and value");
    expect(a.weight.present() == a.bias.present(), name, "weight and bias must be given together");
    for (auto [field, t] : {std::pair{"weight", &a.weight}, std::pair{"bias", &a.bias}}) {
      if (!t->present()) continue;
      expect_shape(name, field, *t, {a.x.columns() / 2});
      expect_type(name, field, *t, dtype::f32);
    }
    expect(0 <= a.columns && a.columns <= a.x.columns() / 2, name, "0 <= columns <= F");
    a.y = {a.x.type, append(leading(a.x.dims), a.x.columns() / 2)};
    a.mean = a.rstd = {dtype::f32, leading(a.x.dims)};
  }
};

/// dx of swiglu and, with a weight, dweight and dbias; h is recomputed from x. It can also give swiglu's y,
/// which therefore need not be kept, and the column sums of dx: the gradients of biases added to x.
struct swiglu_backward {
  static constexpr auto name = "swiglu_backward";
  struct args {
    tensor dy;       // [..., F]
    tensor x;        // [..., 2 F]
    tensor weight;   // [F] f32, optional
    tensor bias;     // [F] f32, optional: read only to recompute y
    tensor mean;     // [...] f32, optional
    tensor rstd;     // [...] f32, optional
    tensor dx;       // [..., 2 F]
    tensor dweight;  // [F] f32, null without a weight
    tensor dbias;    // [F] f32
    tensor dx_sums;  // [2 F] f32, the column sums of dx
    tensor y;        // [..., F], swiglu's result
    int64_t columns = 0;
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy},
                                            input{"x", &args::x},
                                            optional_input{"weight", &args::weight},
                                            optional_input{"bias", &args::bias},
                                            optional_input{"mean", &args::mean},
                                            optional_input{"rstd", &args::rstd},
                                            output{"dx", &args::dx},
                                            output{"dweight", &args::dweight},
                                            output{"dbias", &args::dbias},
                                            output{"dx_sums", &args::dx_sums, &args::dx},
                                            output{"y", &args::y},
                                            attribute{"columns", &args::columns}};
  static void infer(args& a) {
    const int64_t f = a.x.columns() / 2;
    expect_float(name, "x", a.x);
    expect_rank(name, "x", a.x, 1, 8);
    expect(a.x.columns() % 2 == 0, name, "x must have an even number of columns: gate and value");
    expect(name, "dy", a.dy, a.x.type, append(leading(a.x.dims), f));
    for (auto [field, t] : {std::pair{"weight", &a.weight}, std::pair{"bias", &a.bias}})
      expect_if_present(name, field, *t, dtype::f32, {f});
    for (auto [field, t] : {std::pair{"mean", &a.mean}, std::pair{"rstd", &a.rstd}})
      expect_if_present(name, field, *t, dtype::f32, leading(a.x.dims));
    expect(a.weight.present() == a.mean.present() && a.mean.present() == a.rstd.present(), name,
           "weight, mean and rstd must be given together");
    expect(0 <= a.columns && a.columns <= f, name, "0 <= columns <= F");
    a.dx = {a.x.type, a.x.dims};
    a.dweight = a.dbias = {dtype::f32, {f}};
    a.dx_sums = {dtype::f32, {2 * f}};
    a.y = {a.x.type, a.dy.dims};
  }
};

}  // namespace eva::ops
