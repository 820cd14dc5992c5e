/** The rank of a query's best right answer among all answers. */
export interface Rank {
  /** Answers that score higher. */
  readonly above: number;
  /** Wrong answers with the same score. */
  readonly tiedWrong: number;
  /** Right answers with that score, at least one. */
  readonly tiedRight: number;
}

/**
 * The rank of the best of `right`, by finite scores. Ties are counted separately: counting them as wins would give a
 * constant model the best rank.
 * @param right indices of the right answers, at least one
 */
export function rankAmong(scores: Float32Array, right: readonly number[]): Rank {
  const score = right.reduce((best, i) => Math.max(best, scores[i]!), Number.NEGATIVE_INFINITY);
  let [above, tied] = [0, 0];
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! > score) above++;
    else if (scores[i] === score) tied++;
  }
  const tiedRight = right.reduce((count, i) => count + (scores[i] === score ? 1 : 0), 0);
  return { above, tiedWrong: tied - tiedRight, tiedRight };
}

/**
 * The probability that a right answer is among the best `k` when tied answers are in random order:
 * 1 - Π_{i < k - above} (wrong - i) / (wrong + right - i). Without ties it is 0 or 1.
 */
export function probabilityWithin({ above, tiedWrong, tiedRight }: Rank, k: number): number {
  let missed = 1;
  for (let i = 0; i < k - above && missed > 0; i++) {
    missed *= Math.max(0, tiedWrong - i) / Math.max(1, tiedWrong + tiedRight - i);
  }
  return 1 - missed;
}

/** The expected position of the first right answer, counted from 0, when tied answers are in random order. */
export function expectedPosition({ above, tiedWrong, tiedRight }: Rank): number {
  return above + tiedWrong / (tiedRight + 1);
}
