import { keepTokens } from "../ops/keep_tokens";
import type { Operand, Tensor } from "../tensor";

/** How many of `tokens` patches stay when a share of them is dropped; one at least. */
export function keptCount(tokens: number, dropRate: number): number {
  return Math.max(1, Math.trunc(tokens * (1 - dropRate)));
}

export interface TokenDrop {
  /** B */
  batch: number;
  /** The patches of an image. */
  tokens: number;
  /** The share of them that is dropped, in [0, 1). */
  rate: number;
  /** [2] i32: seed, step. */
  seed?: Operand | undefined;
}

/** The patches that each image of a training batch keeps, [B, K] i32; undefined when it keeps them all. */
export function dropTokens({ batch, tokens, rate, seed }: TokenDrop): Tensor | undefined {
  const keep = keptCount(tokens, rate);
  return seed && keep < tokens ? keepTokens(seed, batch, tokens, keep) : undefined;
}
