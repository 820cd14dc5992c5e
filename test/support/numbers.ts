/** Pseudo-random numbers of mean 0 and variance 1, a function of the seed. */
export function noise(count: number, seed: number): Float32Array {
  let state = Math.imul(seed, 0x9e3779b9) >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * Math.sqrt(12);
  });
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

/** ‖actual - expected‖ / ‖expected‖, or ‖actual‖ if expected is zero. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const difference = Float64Array.from(expected, (e, i) => e - actual[i]!);
  return Math.sqrt(dot(difference, difference) / (dot(expected, expected) || 1));
}
