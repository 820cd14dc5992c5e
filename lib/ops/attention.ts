import { checkArgument, flag, options, positiveInteger } from "../arguments";
import { anOperand, apply, type Operand, type Tensor } from "../tensor";

export interface AttentionOptions {
  heads: number;
  /** Causal mask: a token attends only to itself and earlier tokens. */
  causal?: boolean;
  /** [B + 1] i32 for a packed batch: sequence b is rows cuSeqlens[b] … cuSeqlens[b + 1] - 1. */
  cuSeqlens?: Operand | undefined;
  /** [G, D / 4, 2] f32, cos and sin of coordinate and frequency: 2-D rotary positions of a G × G grid. */
  rope?: Operand | undefined;
  /** [B, N - 1] i32: the patch index of each token, with patch dropout. */
  kept?: Operand | undefined;
}

const attentionOptions = options({
  heads: positiveInteger,
  causal: flag.optional(),
  cuSeqlens: anOperand.optional(),
  rope: anOperand.optional(),
  kept: anOperand.optional(),
});

/**
 * softmax(q kᵀ / sqrt(D)) v for every head, without scores in memory (Dao et al. 2022, FlashAttention).
 * qkv [B, N, 3 H D], or [T, 3 H D] packed → [B, N, H D] or [T, H D]
 */
export function attention(qkv: Operand, given: AttentionOptions): Tensor {
  checkArgument("ops.attention: options", given, attentionOptions);
  const { heads, causal = false, cuSeqlens, rope, kept } = given;
  const context = { cu_seqlens: cuSeqlens, rope, positions: rope && kept };
  const attributes = { heads, causal };
  const { out } = apply("attention", { qkv, ...context }, attributes, (dout, outputs) => {
    const { log_sum } = outputs;
    const inputs = { dout, qkv, out: outputs.out, log_sum, ...context };
    return { qkv: apply("attention_backward", inputs, attributes).dqkv };
  });
  return out;
}
