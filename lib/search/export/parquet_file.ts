import { once } from "node:events";
import { dirname, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { checkArgument, pathText } from "../../arguments";
import { makeFolder } from "../../io/make_folder";
import { replaceFile } from "../../io/replace_file";
import type { VectorStore } from "../vector_store";
import { type ExportBatch, type ExportTarget, NUMBERS_OF_BYTES } from "./export_target";
import { PARQUET_PROGRAM, type ParquetRows, type ParquetSettings } from "./parquet_worker";

/**
 * A Parquet file with the columns id, source, caption, metadata (JSON) and vector (a list of f32). It replaces one of its
 * name when it is complete. `exportIndex` also throws `ERR_EVACLIP_IO` and `ERR_EVACLIP_DISK_FULL`.
 */
export function parquetFile(path: string): ExportTarget {
  checkArgument("parquetFile: path", path, pathText);
  const file = resolve(path);
  return { name: file, numbersAtOnce: NUMBERS_OF_BYTES, write: (...given) => writeParquet(file, ...given) };
}

async function writeParquet(
  path: string,
  { model, fingerprint, dimensions, root }: VectorStore,
  batches: AsyncIterable<ExportBatch>,
): Promise<void> {
  const stated = { model, fingerprint, dimensions: String(dimensions), root };
  const settings: ParquetSettings = {
    library: require.resolve("hyparquet-writer"),
    metadata: Object.entries(stated).map(([key, value]) => ({ key: `eva-clip.${key}`, value })),
  };
  // Encoding a row group takes a tenth of a second.
  const worker = new Worker(PARQUET_PROGRAM, { eval: true, workerData: settings, execArgv: [] });
  const encoded = async (rows: ParquetRows | "finish"): Promise<Uint8Array> => {
    worker.postMessage(rows);
    return (await once(worker, "message"))[0];
  };
  try {
    await makeFolder(dirname(path));
    await replaceFile(path, async (file) => {
      for await (const batch of batches) await file.appendFile(await encoded(rowsOf(batch, dimensions)));
      await file.appendFile(await encoded("finish"));
    });
  } finally {
    await worker.terminate();
  }
}

function rowsOf({ entries, vectors }: ExportBatch, dimensions: number): ParquetRows {
  const rows = new Float32Array(vectors.length * dimensions);
  vectors.forEach((vector, i) => rows.set(vector, i * dimensions));
  return {
    ids: BigInt64Array.from(entries, ({ id }) => BigInt(id)),
    sources: entries.map(({ source }) => source),
    captions: entries.map(({ caption }) => caption ?? null),
    metadata: entries.map(({ metadata }) => JSON.stringify(metadata)),
    vectors: rows,
  };
}
