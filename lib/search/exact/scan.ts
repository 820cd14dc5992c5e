import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "../../abortable";
import type { FloatDtype, StoredTensor } from "../../io/tensor_source";

export interface Found {
  readonly id: number;
  readonly similarity: number;
}

const ROWS_AT_ONCE = 256;

/** The `count` rows of vectors [N, E] with the largest product with each query of [queryCount, E], best first. */
export async function scan(
  vectors: StoredTensor,
  queries: Float32Array,
  queryCount: number,
  count: number,
  signal?: AbortSignal,
): Promise<Found[][]> {
  const [size, columns] = vectors.shape as [number, number];
  const { file, offset, shape, strides } = vectors;
  const dtype = vectors.dtype as FloatDtype;
  const best: Found[][] = Array.from({ length: queryCount }, () => []);
  for (let first = 0; first < size; first += ROWS_AT_ONCE) {
    throwIfAborted(signal);
    const rows = new Float32Array(Math.min(ROWS_AT_ONCE, size - first) * columns);
    file.native.read({ file: file.native, dtype, offset, shape, strides }, first * columns, rows);
    for (let row = 0; row * columns < rows.length; row++) {
      best.forEach((list, q) => {
        let similarity = 0;
        for (let e = 0; e < columns; e++) similarity += queries[q * columns + e]! * rows[row * columns + e]!;
        list.push({ id: first + row, similarity });
      });
    }
    for (const list of best) list.sort((a, b) => b.similarity - a.similarity || a.id - b.id).splice(count);
    await setImmediate();
  }
  return best;
}
