import type { Preprocessing } from "../models/preprocessing";

/** Rows of numbers one after another: [N, E], row-major. */
export type Rows = Float32Array;

/** What evaluation needs of a model; `EvaClip` is one. */
export interface Encoder {
  /** E */
  readonly embedDim: number;
  /** The side of the images it takes, in pixels. */
  readonly imageSize: number;
  /** What images go through. Default CLIP's. */
  readonly preprocessing?: Preprocessing;
  /** How results were computed, for the protocol: device and type. */
  readonly setting: string;
  /** Unit-length embeddings [batch, E] of RGB images u8 [batch, S, S, 3]. */
  encodePixels(pixels: Uint8Array, batch: number, options?: { signal?: AbortSignal }): Promise<Rows>;
  /** Unit-length embeddings of captions, one row each. */
  encodeText(captions: readonly string[], options?: { signal?: AbortSignal }): Promise<Float32Array[]>;
  /** The products of every row of a [N, E] with every row of b [M, E]: [N, M]. */
  products(a: Rows, b: Rows): Promise<Rows>;
}

/** Rows of E numbers in one array. */
export function stackRows(rows: readonly Float32Array[], columns: number): Rows {
  const stacked = new Float32Array(rows.length * columns);
  rows.forEach((row, i) => stacked.set(row, i * columns));
  return stacked;
}

/** `row`, which is changed, at unit length (as F.normalize: a norm below 1e-12 counts as that). */
export function normalizeRow(row: Float32Array): Float32Array {
  let squares = 0;
  for (const value of row) squares += value * value;
  const scale = 1 / Math.max(Math.sqrt(squares), 1e-12);
  for (let i = 0; i < row.length; i++) row[i]! *= scale;
  return row;
}
