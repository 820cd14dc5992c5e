import { types } from "node:util";
import { describeValue } from "../arguments";
import { EvaClipError } from "../errors";
import type { Preprocessing } from "../image/preprocessing";
import { firstNotFinite, notFinite } from "./finite";

/** A matrix [N, E] in row-major order. */
export type Rows = Float32Array;

/** The interface that evaluation requires of a model. */
export interface Encoder {
  /** E */
  readonly embedDim: number;
  /** Width and height of its images in pixels. */
  readonly imageSize: number;
  /** Preprocessing of images. Default CLIP's. */
  readonly preprocessing?: Preprocessing;
  /** Describes how embeddings are computed, for the protocol of an evaluation, such as `bf16 on cpu`. */
  readonly description: string;
  /** Unit-length embeddings [batch, E] of RGB images u8 [batch, S, S, 3]. */
  encodePixels(pixels: Uint8Array, batch: number, options?: { signal?: AbortSignal }): Promise<Rows>;
  /** Unit-length embeddings [E], one per caption. */
  encodeText(captions: readonly string[], options?: { signal?: AbortSignal }): Promise<Float32Array[]>;
  /** a [N, E] times the transpose of b [M, E] → [N, M] */
  products(a: Rows, b: Rows, options?: { signal?: AbortSignal }): Promise<Rows>;
}

/** Checks what an encoder returns. @throws EvaClipError `ERR_EVACLIP_SHAPE` */
export function checkRows(name: string, rows: unknown, expected: number): asserts rows is Rows {
  if (types.isFloat32Array(rows) && rows.length === expected) return;
  const actual = describeValue(rows);
  const message = `${name} must be a Float32Array of ${expected}, found ${actual}`;
  throw new EvaClipError("ERR_EVACLIP_SHAPE", message, { expected, actual });
}

/**
 * a [N, E] times the transpose of b [M, E] → [N, M]
 * @throws EvaClipError `ERR_EVACLIP_NOT_FINITE` naming the rows whose product is NaN or infinite; `ERR_EVACLIP_SHAPE`
 *   when the encoder returns the wrong number of products
 */
export async function scoresOf(
  encoder: Pick<Encoder, "embedDim" | "products">,
  a: Rows,
  b: Rows,
  signal?: AbortSignal,
): Promise<Rows> {
  const [n, m] = [a.length / encoder.embedDim, b.length / encoder.embedDim];
  if (n * m === 0) return new Float32Array(0);
  const scores = await encoder.products(a, b, signal ? { signal } : {});
  checkRows(`the products of ${n} rows with ${m}`, scores, n * m);
  const bad = firstNotFinite(scores);
  if (bad < 0) return scores;
  const [row, column] = [Math.floor(bad / m), bad % m];
  const message = `the product of row ${row} of the first with row ${column} of the second is ${scores[bad]}`;
  throw notFinite(message, { row, column, value: scores[bad] });
}

/** Rows of `columns` numbers as one matrix. */
export function stackRows(rows: readonly Float32Array[], columns: number): Rows {
  const stacked = new Float32Array(rows.length * columns);
  rows.forEach((row, i) => stacked.set(row, i * columns));
  return stacked;
}
