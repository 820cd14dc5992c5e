/** Rows of `b` that are multiplied together with one row of `a` before moving on, so that `a` stays in registers. */
const BLOCK = 4;

/**
 * All dot products of the rows of two matrices.
 *
 * @param a f32 [m, width]
 * @param b f32 [n, width]
 * @returns f32 [m, n]
 */
export function dotProducts(a: Float32Array, b: Float32Array, width: number): Float32Array {
  const m = a.length / width;
  const n = b.length / width;
  const products = new Float32Array(m * n);
  const whole = n - (n % BLOCK);
  for (let j = 0; j < whole; j += BLOCK) {
    for (let i = 0; i < m; i++) fourProducts(a, i * width, b, j * width, width, products, i * n + j);
  }
  for (let j = whole; j < n; j++) {
    for (let i = 0; i < m; i++) products[i * n + j] = dot(a, i * width, b, j * width, width);
  }
  return products;
}

function fourProducts(
  a: Float32Array,
  aStart: number,
  b: Float32Array,
  bStart: number,
  width: number,
  out: Float32Array,
  outStart: number,
): void {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let k = 0; k < width; k++) {
    const x = a[aStart + k]!;
    s0 += x * b[bStart + k]!;
    s1 += x * b[bStart + width + k]!;
    s2 += x * b[bStart + 2 * width + k]!;
    s3 += x * b[bStart + 3 * width + k]!;
  }
  out[outStart] = s0;
  out[outStart + 1] = s1;
  out[outStart + 2] = s2;
  out[outStart + 3] = s3;
}

function dot(a: Float32Array, aStart: number, b: Float32Array, bStart: number, width: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += a[aStart + k]! * b[bStart + k]!;
  return sum;
}

/** The indices of the largest of `scores`, best first; of equal scores, the earlier. */
export function topIndices(scores: ArrayLike<number>, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (best.length === count && score <= scores[best[count - 1]!]!) continue;
    let place = best.length;
    while (place > 0 && scores[best[place - 1]!]! < score) place--;
    best.splice(place, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}
