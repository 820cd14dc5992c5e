import { EvaClipError } from "../errors";
import { stackRows } from "../eval/encoder";

/** Vectors of E numbers: one, several in a list, or several one after another. */
export type Vectors = Float32Array | readonly Float32Array[];

/** The rows of a matrix, as views. */
export function splitRows(rows: Float32Array, columns: number): Float32Array[] {
  return Array.from({ length: rows.length / columns }, (_, i) =>
    rows.subarray(i * columns, (i + 1) * columns),
  );
}

/** Vectors as a matrix. @throws EvaClipError `ERR_EVACLIP_SHAPE` when there are none, or not of `columns` numbers. */
export function stackVectors(vectors: Vectors, columns: number): Float32Array {
  const list = Array.isArray(vectors) ? (vectors as readonly Float32Array[]) : [vectors as Float32Array];
  const wrong = list.find(({ length }) => length === 0 || length % columns !== 0);
  if (!wrong && list.length > 0) return list.length === 1 ? list[0]! : stackRows(list, columns);
  const found = wrong ? `${wrong.length} numbers` : "none";
  throw new EvaClipError("ERR_EVACLIP_SHAPE", `vectors have ${columns} numbers each, found ${found}`);
}
