/** The hidden width of an MLP: ⌊width · mlp_ratio⌋. */
export function hiddenWidth({ width, mlp_ratio }: { width: number; mlp_ratio: number }): number {
  return Math.trunc(width * mlp_ratio);
}

/** A ratio that gives exactly this hidden width: the quotient, unless its rounding falls short. */
export function mlpRatio(hidden: number, width: number): number {
  const quotient = hidden / width;
  return hiddenWidth({ width, mlp_ratio: quotient }) === hidden ? quotient : (hidden + 0.5) / width;
}
