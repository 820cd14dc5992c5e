import { abortable, throwIfAborted } from "../../abortable";
import {
  abortSignal,
  anyFunction,
  checkArgument,
  options,
  ownArgument,
  positiveInteger,
} from "../../arguments";
import type { Entry, VectorStore } from "../vector_store";
import { exportTarget, vectorStore } from "./export_arguments";
import type { ExportBatch, ExportTarget } from "./export_target";

export interface ExportOptions {
  /** Entries per request; by default what the target takes best. */
  readonly batchSize?: number;
  /** Called when a batch is stored. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the export: it rejects with the signal's reason. What is stored stays. */
  readonly signal?: AbortSignal;
}

const exportOptions = options({
  batchSize: positiveInteger.optional(),
  onProgress: anyFunction.optional(),
  signal: abortSignal.optional(),
});

/**
 * Copies every entry of an index, with its id, vector and metadata, to a file or a database. Repeated, or started again
 * after a failure, it overwrites entries by id.
 * @returns the number of entries
 * @throws EvaClipError `ERR_EVACLIP_EXPORT` when the target is unreachable, refuses the entries or holds vectors of another
 *   length; `ERR_EVACLIP_PACKAGE_MISSING` naming the package of its client; what reading the index throws
 */
export async function exportIndex(
  index: VectorStore,
  target: ExportTarget,
  given: ExportOptions = {},
): Promise<number> {
  checkArgument("exportIndex: index", index, vectorStore);
  checkArgument("exportIndex: target", target, exportTarget);
  const own: ExportOptions = ownArgument("exportIndex: options", given, exportOptions);
  const rows = own.batchSize ?? Math.max(1, Math.floor(target.numbersAtOnce / index.dimensions));
  throwIfAborted(own.signal);
  let stored = 0;
  async function* batches() {
    for await (const batch of batchesOf(index, rows)) {
      throwIfAborted(own.signal);
      yield batch;
      stored += batch.entries.length;
      own.onProgress?.(stored, Math.max(stored, index.size));
    }
  }
  await abortable(target.write(index, batches()), own.signal);
  return stored;
}

async function* batchesOf(index: VectorStore, rows: number): AsyncGenerator<ExportBatch> {
  let after = -1;
  let [entries, vectors]: [Entry[], Float32Array[]] = [[], []];
  for await (const { entry, vector } of index.vectors()) {
    entries.push(entry);
    vectors.push(vector);
    if (entries.length < rows) continue;
    yield { after, entries, vectors };
    after = entry.id;
    [entries, vectors] = [[], []];
  }
  if (entries.length > 0) yield { after, entries, vectors };
}
