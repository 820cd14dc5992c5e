import type { ParquetWriter, SchemaElement } from "hyparquet-writer" with { "resolution-mode": "import" };

export interface ParquetSettings {
  /** The path of hyparquet-writer. */
  readonly library: string;
  readonly metadata: readonly { readonly key: string; readonly value: string }[];
}

/** Rows of one row group; `finish` is the last message. */
export interface ParquetRows {
  readonly ids: BigInt64Array;
  readonly sources: readonly string[];
  readonly captions: readonly (string | null)[];
  /** Objects as JSON. */
  readonly metadata: readonly string[];
  /** [rows, E] */
  readonly vectors: Float32Array;
}

/**
 * What the thread that encodes Parquet runs: rows come, bytes of the file go. Its source text is passed to the thread, so it
 * may use nothing of this module, and has no named function inside, for which bundlers would insert a call.
 */
function encodeParquet(): void {
  const { parentPort, workerData } = require("node:worker_threads") as typeof import("node:worker_threads");
  const { library, metadata } = workerData as ParquetSettings;
  const parquet = require(library) as typeof import("hyparquet-writer", { with: {
    "resolution-mode": "import",
  }});
  const schema: SchemaElement[] = [
    { name: "root", num_children: 5 },
    { name: "id", type: "INT64", repetition_type: "REQUIRED" },
    { name: "source", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
    { name: "caption", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
    { name: "metadata", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
    { name: "vector", converted_type: "LIST", repetition_type: "REQUIRED", num_children: 1 },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
  ];
  const bytes = new parquet.ByteWriter();
  const writer: ParquetWriter = new parquet.ParquetWriter({
    writer: bytes,
    schema,
    createdBy: "eva-clip",
    kvMetadata: [...metadata],
  });
  parentPort!.on("message", (rows: ParquetRows | "finish") => {
    if (rows === "finish") writer.finish();
    else {
      const { ids, sources, captions, metadata, vectors } = rows;
      const columns = vectors.length / ids.length;
      writer.write({
        rowGroupSize: ids.length,
        columnData: [
          { name: "id", data: ids },
          { name: "source", data: [...sources] },
          { name: "caption", data: [...captions] },
          { name: "metadata", data: [...metadata], statistics: false },
          {
            name: "vector",
            data: sources.map((_, i) => Array.from(vectors.subarray(i * columns, (i + 1) * columns))),
            // Neither compression nor a dictionary makes random numbers smaller.
            codec: "UNCOMPRESSED",
            encoding: "PLAIN",
            statistics: false,
          },
        ],
      });
    }
    const done = bytes.getBytes().slice();
    bytes.index = 0;
    parentPort!.postMessage(done, [done.buffer]);
  });
}

/** The program of the thread. */
export const PARQUET_PROGRAM = `(${encodeParquet})()`;
