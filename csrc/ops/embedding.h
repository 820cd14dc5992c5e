#pragma once

#include "ops/op.h"

namespace eva::ops {

/// y[t] = table[tokens[t]] + positions[index of t in its sequence]; zero for the padding rows from
/// cu_seqlens[B] on.
struct embedding {
  static constexpr auto name = "embedding";
  struct args {
    tensor tokens;      // [T] i32
    tensor cu_seqlens;  // [B + 1] i32
    tensor table;       // [V, C] f32 or bf16
    tensor positions;   // [L, C] f32
    tensor y;           // [T, C]
    dtype type = dtype::f32;
  };
  static constexpr auto fields =
      std::tuple{input{"tokens", &args::tokens}, input{"cu_seqlens", &args::cu_seqlens},
                 input{"table", &args::table},   input{"positions", &args::positions},
                 output{"y", &args::y},          attribute{"type", &args::type}};
  static void infer(args& a) {
    expect_type(name, "tokens", a.tokens, dtype::i32);
    expect_rank(name, "tokens", a.tokens, 1, 1);
    expect_type(name, "cu_seqlens", a.cu_seqlens, dtype::i32);
    expect_rank(name, "cu_seqlens", a.cu_seqlens, 1, 1);
    expect_float(name, "table", a.table);
    expect_rank(name, "table", a.table, 2, 2);
    expect_type(name, "positions", a.positions, dtype::f32);
    expect_rank(name, "positions", a.positions, 2, 2);
    expect(a.cu_seqlens.size() > 0, name, "cu_seqlens must have one more entry than there are sequences");
    expect_shape(name, "positions", a.positions, {a.positions.dim(0), a.table.columns()});
    expect(is_float(a.type), name, "type must be f32 or bf16");
    a.y = {a.type, {a.tokens.dim(0), a.table.columns()}};
  }
};

/// The gradients of embedding: rows of dy summed by token and by position, in the order of t.
struct embedding_backward {
  static constexpr auto name = "embedding_backward";
  struct args {
    tensor dy;          // [T, C]
    tensor tokens;      // [T] i32
    tensor cu_seqlens;  // [B + 1] i32
    tensor table;       // only its shape is read
    tensor positions;   // only its shape is read
    tensor dtable;      // [V, C] f32
    tensor dpositions;  // [L, C] f32
  };
  static constexpr auto fields = std::tuple{input{"dy", &args::dy},
                                            input{"tokens", &args::tokens},
                                            input{"cu_seqlens", &args::cu_seqlens},
                                            input{"table", &args::table},
                                            input{"positions", &args::positions},
                                            output{"dtable", &args::dtable},
                                            output{"dpositions", &args::dpositions}};
  static void infer(args& a) {
    expect_float(name, "dy", a.dy);
    expect_type(name, "tokens", a.tokens, dtype::i32);
    expect_rank(name, "tokens", a.tokens, 1, 1);
    expect_type(name, "cu_seqlens", a.cu_seqlens, dtype::i32);
    expect_rank(name, "cu_seqlens", a.cu_seqlens, 1, 1);
    expect(a.cu_seqlens.size() > 0, name, "cu_seqlens must have one more entry than there are sequences");
    expect_rank(name, "table", a.table, 2, 2);
    expect_rank(name, "positions", a.positions, 2, 2);
    expect_shape(name, "positions", a.positions, {a.positions.dim(0), a.table.columns()});
    expect_shape(name, "dy", a.dy, {a.tokens.dim(0), a.table.columns()});
    a.dtable = {dtype::f32, a.table.dims};
    a.dpositions = {dtype::f32, a.positions.dims};
  }
};

}  // namespace eva::ops
