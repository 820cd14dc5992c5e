import { checkArgument, finiteNumber, options, positiveInteger, wholeNumber } from "../arguments";
import { anOperand, apply, type Operand, type Tensor } from "../tensor";

/**
 * Patch dropout (Li et al. 2023, FLIP): for each of `batch` images, the ascending indices of `keep` randomly drawn
 * patches of `tokens`. The same seed and step keep the same patches on every backend.
 * seed [2] i32 (seed, step) → [batch, keep] i32
 */
export function keepTokens(seed: Operand, batch: number, tokens: number, keep: number): Tensor {
  for (const [name, count] of Object.entries({ batch, tokens, keep })) {
    checkArgument(`ops.keepTokens: ${name}`, count, positiveInteger);
  }
  return apply("keep_tokens", { seed }, { batch, tokens, keep }).kept;
}

export interface DropPathOptions {
  /** [2] i32: seed, step. */
  seed: Operand;
  /** Probability of dropping a sample's branch, in [0, 1). */
  rate: number;
  /** Identifies the branch in the model, so that each draws independently. */
  stream: number;
  /** [B, ...], added to the result. */
  residual?: Operand | undefined;
}

const dropPathOptions = options({
  seed: anOperand,
  rate: finiteNumber.min(0).lt(1),
  stream: wholeNumber,
  residual: anOperand.optional(),
});

/**
 * Stochastic depth (Huang et al. 2016): drops the branch of a whole sample, or scales it by 1 / (1 - rate).
 * x [B, ...] → [B, ...]
 */
export function dropPath(x: Operand, given: DropPathOptions): Tensor {
  checkArgument("ops.dropPath: options", given, dropPathOptions);
  const { seed, rate, stream, residual } = given;
  const { y } = apply("drop_path", { x, seed, residual }, { rate, stream }, (dy) => ({
    x: dropPath(dy, { seed, rate, stream }),
    residual: dy,
  }));
  return y;
}
