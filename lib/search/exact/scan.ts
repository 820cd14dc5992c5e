import { corrupt } from "../../io/checkpoint_error";
import type { Device } from "../../device";
import type { EvaClipError } from "../../errors";
import type { FloatDtype, StoredTensor } from "../../io/tensor_source";

/** A row and its product with a query. */
export interface FoundRow {
  readonly id: number;
  readonly similarity: number;
}

export interface ScanOptions {
  /** Rows to find per query. */
  readonly count: number;
  /** A bit per row, the lowest first. Default: every row. */
  readonly allowed?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Queries of one search: its matches are held in memory. */
const QUERIES_AT_ONCE = 64;

/**
 * The rows of vectors [N, E] with the largest product with each query, best first, ties in the order of rows. Computed on
 * the threads of a CPU device, in order with its other work.
 * @param queries [n, E], finite
 * @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` for a vector that holds NaN or infinity; `ERR_EVACLIP_IO` when the
 *   file was changed after it was opened
 */
export async function scan(
  device: Device,
  vectors: StoredTensor,
  queries: Float32Array,
  { count, allowed, signal }: ScanOptions,
): Promise<FoundRow[][]> {
  const [rows, columns] = vectors.shape as [number, number];
  const { file, offset } = vectors;
  const queryCount = queries.length / columns;
  if (rows === 0) return Array.from({ length: queryCount }, () => []);
  const cancelled = new Int32Array(new SharedArrayBuffer(4));
  const cancel = () => Atomics.store(cancelled, 0, 1);
  signal?.addEventListener("abort", cancel, { once: true });
  if (signal?.aborted) cancel();
  const dtype = vectors.dtype as FloatDtype;
  const common = { file: file.native, dtype, offset, rows, columns, cancelled, ...(allowed && { allowed }) };
  const matches: FoundRow[][] = [];
  try {
    for (let first = 0; first < queryCount; first += QUERIES_AT_ONCE) {
      const some = queries.subarray(first * columns, (first + QUERIES_AT_ONCE) * columns);
      const asked = { queries: some, queryCount: some.length / columns, count: Math.min(count, rows) };
      matches.push(...matchesOf(await device.native.nearestRows({ ...common, ...asked }), asked.queryCount));
    }
    return matches;
  } catch (error) {
    const { code, message, details } = error as EvaClipError;
    if (code !== "ERR_EVACLIP_NOT_FINITE") throw error;
    throw corrupt(file.path, `is a broken index: ${message}`, details);
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** Every query finds the same number of rows. */
function matchesOf(
  { rows, similarities }: { rows: Int32Array; similarities: Float32Array },
  queryCount: number,
): FoundRow[][] {
  const each = rows.length / queryCount;
  return Array.from({ length: queryCount }, (_, query) =>
    Array.from({ length: each }, (_, i) => {
      const at = query * each + i;
      return { id: rows[at]!, similarity: similarities[at]! };
    }),
  );
}
