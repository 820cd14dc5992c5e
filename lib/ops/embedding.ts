import { z } from "zod";
import { checkArgument } from "../arguments";
import { anOperand, apply, type Operand, type Tensor } from "../tensor";
import { type FloatDType, floatDtype } from "./elementwise";

/** A packed batch of captions, without padding between them. */
export interface PackedTokens {
  /** [T] i32 token ids; rows from cuSeqlens[B] on are padding up to a bucket length. */
  tokens: Operand;
  /** [B + 1] i32: caption b is tokens cuSeqlens[b] … cuSeqlens[b + 1] - 1. */
  cuSeqlens: Operand;
}

const packedTokens = z.object({ tokens: anOperand, cuSeqlens: anOperand }, { error: "packed tokens" });

/**
 * table[token] + positions[index of the token in its caption]; zero for padding rows.
 * table [V, C], positions [L, C] f32 → [T, C] of `type`
 */
export function embedding(
  text: PackedTokens,
  table: Operand,
  positions: Operand,
  dtype: FloatDType = "f32",
): Tensor {
  checkArgument("ops.embedding: text", text, packedTokens);
  checkArgument("ops.embedding: type", dtype, floatDtype);
  const { tokens, cuSeqlens } = text;
  const inputs = { tokens, cu_seqlens: cuSeqlens, table, positions };
  const { y } = apply("embedding", inputs, { type: dtype }, (dy) => {
    const { dtable, dpositions } = apply("embedding_backward", { dy, ...inputs });
    return { table: dtable, positions: dpositions };
  });
  return y;
}
