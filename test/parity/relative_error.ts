/** ‖actual - expected‖ / ‖expected‖, or ‖actual‖ if expected is zero; infinite if any element is not finite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`expected ${expected.length} numbers, found ${actual.length}`);
  }
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  const error = Math.sqrt(norm === 0 ? difference : difference / norm);
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}

/** The largest error of a group, and its tensor. */
export interface Worst {
  error: number;
  name: string;
}

export function worst(errors: Iterable<readonly [name: string, error: number]>): Worst {
  let found: Worst = { error: 0, name: "" };
  for (const [name, error] of errors) if (error > found.error || found.name === "") found = { error, name };
  return found;
}
