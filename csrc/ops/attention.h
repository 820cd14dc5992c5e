#pragma once

#include "ops/op.h"

namespace eva::ops {

/// Checks shared by attention and its gradient. A batch has one of two layouts: dense [B, N, 3 H D], or
/// packed [T, 3 H D] with cu_seqlens, where sequence b is rows cu_seqlens[b] … cu_seqlens[b+1]-1 and rows
/// from cu_seqlens[B] on are padding (their results and gradients are zero). A row of qkv is q, k and v, each
/// the concatenation of its H heads. `rope` is 2D RoPE in interleaved pairs (Fang et al. 2023, EVA-02; Su et
/// al. 2021, RoFormer): token i >= 1 of an image is rotated by the position of its patch p
/// (p = positions[b, i-1], or i-1 when no tokens were dropped), the first half of each head by the angles of
/// row p / G, the second by those of column p % G. Token 0, the class token, is not rotated.
template <class Args> void check_attention(const char* op, const Args& a) {
  expect_float(op, "qkv", a.qkv);
  expect(a.heads > 0 && a.qkv.columns() % (3 * a.heads) == 0, op, "qkv must have 3 × heads × D columns");
  if (a.cu_seqlens.present()) {
    expect_rank(op, "qkv", a.qkv, 2, 2);
    expect_type(op, "cu_seqlens", a.cu_seqlens, dtype::i32);
    expect_rank(op, "cu_seqlens", a.cu_seqlens, 1, 1);
    expect(a.cu_seqlens.size() > 0, op, "cu_seqlens must have one more entry than there are sequences");
    expect(!a.rope.present(), op, "rope requires a dense batch");
  } else {
    expect_rank(op, "qkv", a.qkv, 3, 3);
  }
  if (!a.rope.present()) return;
  const int64_t head_dim = a.qkv.columns() / (3 * a.heads);
  expect(head_dim % 4 == 0, op, "rope requires a head dimension that is a multiple of 4");
  expect_type(op, "rope", a.rope, dtype::f32);
  expect_shape(op, "rope", a.rope, {a.rope.dim(0), head_dim / 4, 2});
  if (a.positions.present()) {
    expect_type(op, "positions", a.positions, dtype::i32);
    expect_shape(op, "positions", a.positions, {a.qkv.dim(0), a.qkv.dim(1) - 1});
  } else {
    const int64_t patches = a.qkv.dim(1) - 1, grid = std::max<int64_t>(1, a.rope.dim(0));
    expect(patches % grid == 0 && patches / grid == a.rope.dim(0), op,
           "rope must cover a grid of G × G patches");
  }
}

/// FLOPs of q kᵀ and p v: 4 N² D per head, half of that when causal.
template <class Args> double attention_flops(const Args& a) {
  if (a.cu_seqlens.present()) return 0;  // lengths are known only at run time
  const double n = double(a.qkv.dim(1));
  return 4.0 * double(a.qkv.dim(0)) * n * n * double(a.qkv.columns() / 3) * (a.causal ? 0.5 : 1.0);
}

/// out = softmax(q kᵀ / sqrt(D)) v for every head, without materializing the scores (Dao et al. 2022,
/// FlashAttention).
struct attention {
  static constexpr auto name = "attention";
  struct args {
    tensor qkv;         // [B, N, 3 H D] or [T, 3 H D]
    tensor cu_seqlens;  // [B + 1] i32, packed batches only
    tensor rope;        // [G, D / 4, 2] f32: cos and sin of coordinate g times frequency k; optional
    tensor positions;   // [B, N - 1] i32, the kept patches; optional
    tensor out;         // [B, N, H D] or [T, H D]
    tensor log_sum;     // [B, N, H] or [T, H] f32: log-sum-exp of each row of scores
    int64_t heads = 1;
    bool causal = false;
  };
  static constexpr auto fields = std::tuple{input{"qkv", &args::qkv},
                                            optional_input{"cu_seqlens", &args::cu_seqlens},
                                            optional_input{"rope", &args::rope},
                                            optional_input{"positions", &args::positions},
                                            output{"out", &args::out},
                                            output{"log_sum", &args::log_sum},
                                            attribute{"heads", &args::heads},
                                            attribute{"causal", &args::causal}};
  static void infer(args& a) {
    check_attention(name, a);
    a.out = {a.qkv.type, append(leading(a.qkv.dims), a.qkv.columns() / 3)};
    a.log_sum = {dtype::f32, append(leading(a.qkv.dims), a.heads)};
  }
  static double flops(const args& a) { return attention_flops(a); }
};

/// dqkv from dout, recomputing the scores from q, k and log_sum (Dao et al. 2022, algorithm 4).
struct attention_backward {
  static constexpr auto name = "attention_backward";
  struct args {
    tensor dout;        // as out
    tensor qkv;         // as in attention, before rotation
    tensor out;         // as in attention
    tensor log_sum;     // as in attention
    tensor cu_seqlens;  // optional
    tensor rope;        // optional
    tensor positions;   // optional
    tensor dqkv;        // as qkv
    tensor dqkv_sums;   // [3 H D] f32, the column sums of dqkv: the gradient of a bias added to qkv
    int64_t heads = 1;
    bool causal = false;
  };
  static constexpr auto fields = std::tuple{input{"dout", &args::dout},
                                            input{"qkv", &args::qkv},
                                            input{"out", &args::out},
                                            input{"log_sum", &args::log_sum},
                                            optional_input{"cu_seqlens", &args::cu_seqlens},
                                            optional_input{"rope", &args::rope},
                                            optional_input{"positions", &args::positions},
                                            output{"dqkv", &args::dqkv},
                                            output{"dqkv_sums", &args::dqkv_sums, &args::dqkv},
                                            attribute{"heads", &args::heads},
                                            attribute{"causal", &args::causal}};
  static void infer(args& a) {
    check_attention(name, a);
    expect(name, "out", a.out, a.qkv.type, append(leading(a.qkv.dims), a.qkv.columns() / 3));
    expect(name, "dout", a.dout, a.qkv.type, a.out.dims);
    expect(name, "log_sum", a.log_sum, dtype::f32, append(leading(a.qkv.dims), a.heads));
    a.dqkv = {a.qkv.type, a.qkv.dims};
    a.dqkv_sums = {dtype::f32, {a.qkv.columns()}};
  }
  static double flops(const args& a) { return 2.5 * attention_flops(a); }
};

}  // namespace eva::ops
