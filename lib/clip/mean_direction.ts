import { describeValue } from "../arguments";
import { notFinite, squaredLength } from "./finite";

/** Minimum length of a mean with a direction (eps of PyTorch's F.normalize). */
const LEAST_LENGTH = 1e-12;

/**
 * The normalized mean of unit vectors.
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` naming the class when the vectors cancel or are not finite
 */
export function meanDirection(rows: readonly Float32Array[], className: string): Float32Array {
  const sum = new Float32Array(rows[0]!.length);
  for (const row of rows) for (let i = 0; i < sum.length; i++) sum[i]! += row[i]!;
  const length = Math.sqrt(squaredLength(sum));
  if (!Number.isFinite(length) || length < LEAST_LENGTH) {
    const message = `the mean embedding of the prompts of ${describeValue(className)} has length ${length}`;
    throw notFinite(message, { className, length });
  }
  return sum.map((value) => value / length);
}
