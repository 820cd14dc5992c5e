import { keepTokens } from "../ops/keep_tokens";
import type { Operand, Tensor } from "../tensor";

/** ⌊tokens · (1 − dropRate)⌋, at least 1. */
export function keptCount(tokens: number, dropRate: number): number {
  return Math.max(1, Math.trunc(tokens * (1 - dropRate)));
}

export interface TokenDrop {
  /** B */
  batch: number;
  /** The number of patches of an image. */
  tokens: number;
  /** The fraction of patches to drop, in [0, 1). */
  rate: number;
  /** [2] i32 (seed, step). */
  seed?: Operand | undefined;
}

/** The patches that each image keeps in training (Li et al. 2023, FLIP), [B, K] i32; undefined for all of them. */
export function dropTokens({ batch, tokens, rate, seed }: TokenDrop): Tensor | undefined {
  const keep = keptCount(tokens, rate);
  return seed && keep < tokens ? keepTokens(seed, batch, tokens, keep) : undefined;
}
