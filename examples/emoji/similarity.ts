import type { Device } from "eva-clip";
import { compile, ops, spec } from "eva-clip/graph";

/**
 * All dot products of the rows of two matrices.
 *
 * @param a f32 [N, width]
 * @param b f32 [M, width]
 * @returns f32 [N, M]
 */
export async function dotProducts(
  device: Device,
  a: Float32Array,
  b: Float32Array,
  width: number,
): Promise<Float32Array> {
  const rows = (matrix: Float32Array) => spec("f32", [matrix.length / width, width]);
  const program = await compile(device, { a: rows(a), b: rows(b) }, (x) => ({
    products: ops.matmul(x.a, x.b, { transposeB: true }),
  }));
  try {
    return (await program({ a, b })).products.toFloat32();
  } finally {
    program.dispose();
  }
}

/** The indices of the `count` largest scores, best first; ties go to the lower index. */
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
