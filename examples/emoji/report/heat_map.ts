import { pngDataUri } from "./images";

/** A square similarity matrix, row i an image, column j a name. */
export interface Matrix {
  /** f32 [size, size] */
  values: Float32Array;
  size: number;
}

/** Viridis (van der Walt and Smith 2015) at equal distances; its lightness increases, so it also works in gray. */
const COLORS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
] as const;

/** The rows and columns `indices` of a matrix, in that order. */
export function submatrix(matrix: Matrix, indices: readonly number[]): Matrix {
  const size = indices.length;
  const values = new Float32Array(size * size);
  indices.forEach((row, i) => {
    indices.forEach((column, j) => {
      values[i * size + j] = matrix.values[row * matrix.size + column]!;
    });
  });
  return { values, size };
}

/** The matrix with `block` x `block` cells replaced by their mean; an incomplete block at the edge is dropped. */
export function blockMeans(matrix: Matrix, block: number): Matrix {
  const size = Math.floor(matrix.size / block);
  const values = new Float32Array(size * size);
  for (let i = 0; i < size * block; i++) {
    for (let j = 0; j < size * block; j++) {
      values[Math.floor(i / block) * size + Math.floor(j / block)]! +=
        matrix.values[i * matrix.size + j]! / (block * block);
    }
  }
  return { values, size };
}

/** The matrix as a PNG, one pixel per cell; `lowest` and `highest` are the ends of the color scale. */
export function heatMapImage(matrix: Matrix, lowest: number, highest: number): Promise<string> {
  const pixels = new Uint8Array(matrix.values.length * 3);
  matrix.values.forEach((value, i) => {
    pixels.set(colorOf((value - lowest) / (highest - lowest || 1)), i * 3);
  });
  return pngDataUri(pixels, matrix.size, 3);
}

/** The `part` quantile of the matrix. */
export function quantile(matrix: Matrix, part: number): number {
  const sorted = matrix.values.slice().sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}

/** A CSS gradient of the color scale. */
export function colorScale(): string {
  return `linear-gradient(to right, ${COLORS.map((color) => `rgb(${color.join(" ")})`).join(", ")})`;
}

function colorOf(part: number): [number, number, number] {
  const place = Math.min(1, Math.max(0, part)) * (COLORS.length - 1);
  const index = Math.min(COLORS.length - 2, Math.floor(place));
  const [from, to] = [COLORS[index]!, COLORS[index + 1]!];
  const mix = (c: 0 | 1 | 2) => Math.round(from[c] + (to[c] - from[c]) * (place - index));
  return [mix(0), mix(1), mix(2)];
}
