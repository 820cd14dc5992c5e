// Searches a million random vectors: milliseconds, the share of the rate at which memory is read, and recall against brute
// force. The index is written once per size and storage into a temporary folder; delete it by hand.
//   npm run bench -- search [--rows 1000000] [--dimensions 512] [--storage f32,f16] [--rounds 15] [--threads 2] [--json]
// The peer is PyTorch's product and topk over the same vectors in memory (EVA_CLIP_PEER_PYTHON).
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { availableProcessors } from "../lib/container_limits";
import type { FloatDtype } from "../lib/io/tensor_source";
import { writeSafetensors } from "../lib/io/safetensors";
import { openIndex, type VectorStore } from "../lib/search";
import type { VectorStorage } from "../lib/search/exact/exact_writer";
import { metadataOf, openIndexFile } from "../lib/search/exact/index_file";
import { median, secondsOf } from "./comparison";
import { Peer } from "./peer";

const COUNT = 10;
const QUERIES = [1, 8, 64];
/** Queries whose neighbors are compared with brute force. */
const CHECKED = 4;
const ROWS_AT_ONCE = 4096;
const DTYPES = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/** Uniform numbers from -1 to 1 (xorshift32). */
function fillRandom(values: Float32Array, state: number): number {
  let x = state;
  for (let i = 0; i < values.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    values[i] = x / 2 ** 31;
  }
  return x;
}

/** Rows of unit length. */
function unitRows(count: number, columns: number, seed: number): Float32Array {
  const rows = new Float32Array(count * columns);
  fillRandom(rows, seed | 1);
  for (let at = 0; at < rows.length; at += columns) {
    const row = rows.subarray(at, at + columns);
    let squares = 0;
    for (const value of row) squares += value * value;
    const factor = 1 / Math.sqrt(squares);
    for (let i = 0; i < columns; i++) row[i]! *= factor;
  }
  return rows;
}

async function* parts<T>(rows: number, make: (first: number, count: number) => T): AsyncGenerator<T> {
  for (let first = 0; first < rows; first += ROWS_AT_ONCE)
    yield make(first, Math.min(ROWS_AT_ONCE, rows - first));
}

async function writeIndex(
  path: string,
  rows: number,
  dimensions: number,
  storage: VectorStorage,
): Promise<void> {
  // Lines of equal length.
  const lineOf = (id: number) =>
    JSON.stringify({ source: `${String(id).padStart(9, "0")}.jpg`, version: "1", metadata: {} });
  const bytes = lineOf(0).length;
  const lines = BigInt64Array.from({ length: rows + 1 }, (_, id) => BigInt(id * bytes));
  const textOf = (first: number, count: number) =>
    Buffer.from(Array.from({ length: count }, (_, i) => lineOf(first + i)).join(""));
  const statement = { model: "", fingerprint: "random", dimensions, root: "/" };
  await writeSafetensors(
    path,
    [
      { name: "lines", dtype: "I64", shape: [rows + 1], data: lines },
      {
        name: "vectors",
        dtype: DTYPES[storage],
        from: "F32",
        shape: [rows, dimensions],
        data: () => parts(rows, (first, count) => unitRows(count, dimensions, 1 + first * 7919)),
      },
      { name: "entries", dtype: "U8", shape: [rows * bytes], data: () => parts(rows, textOf) },
    ],
    metadataOf(statement),
  );
}

/** GB/s, undefined without a C compiler. */
function readRate(path: string, threads: number): number | undefined {
  const folder = mkdtempSync(join(tmpdir(), "eva-clip-read-"));
  const program = join(folder, "read");
  try {
    const source = join(__dirname, "native", "read.c");
    if (spawnSync("cc", ["-O3", "-march=native", "-fopenmp", source, "-o", program]).status !== 0)
      return undefined;
    const env = { ...process.env, OMP_NUM_THREADS: String(threads) };
    return Number(spawnSync(program, [path], { env }).stdout.toString());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The ids of the nearest rows of each query, in double precision. */
async function bruteForce(path: string, queries: readonly Float32Array[]): Promise<number[][]> {
  const { vectors, file } = await openIndexFile(path);
  const [rows, columns] = vectors.shape as [number, number];
  const { native } = vectors.file;
  const view = { ...vectors, dtype: vectors.dtype as FloatDtype, file: native };
  const best = queries.map((): { id: number; similarity: number }[] => []);
  for await (const [first, some] of parts(rows, (first, count) => {
    const into = new Float32Array(count * columns);
    native.read(view, first * columns, into);
    return [first, into] as const;
  })) {
    for (const [q, query] of queries.entries()) {
      for (let row = 0; row * columns < some.length; row++) {
        let similarity = 0;
        for (let i = 0; i < columns; i++) similarity += query[i]! * some[row * columns + i]!;
        best[q]!.push({ id: first + row, similarity });
      }
      best[q] = best[q]!.sort((a, b) => b.similarity - a.similarity || a.id - b.id).slice(0, COUNT);
    }
  }
  await file.close();
  return best.map((list) => list.map(({ id }) => id));
}

async function recallOf(index: VectorStore, queries: readonly Float32Array[]): Promise<number> {
  const some = queries.slice(0, CHECKED);
  const expected = await bruteForce(index.path, some);
  const found = await index.nearest(some, { count: COUNT });
  const hits = found.flatMap((matches, q) => matches.filter(({ id }) => expected[q]!.includes(id)));
  return hits.length / expected.flat().length;
}

async function startPeer(
  path: string,
  threads: number,
): Promise<{ peer: Peer; version: string } | undefined> {
  if (!process.env.EVA_CLIP_PEER_PYTHON) return undefined;
  try {
    return await Peer.start("search.py", [
      "--file",
      path,
      "--threads",
      String(threads),
      "--count",
      String(COUNT),
    ]);
  } catch (error) {
    console.error(`no peer: ${(error as Error).message}`);
    return undefined;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rows: { type: "string", default: "1000000" },
      dimensions: { type: "string", default: "512" },
      storage: { type: "string", default: "f32,f16" },
      rounds: { type: "string", default: "15" },
      threads: { type: "string", default: String(availableProcessors()) },
      folder: { type: "string", default: tmpdir() },
      json: { type: "boolean", default: false },
    },
  });
  const [rows, dimensions, rounds, threads] = [
    values.rows,
    values.dimensions,
    values.rounds,
    values.threads,
  ].map(Number) as [number, number, number, number];
  const print = (row: Record<string, unknown>) =>
    console.log(
      values.json
        ? JSON.stringify(row)
        : Object.entries(row)
            .map(
              ([name, value]) =>
                `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`,
            )
            .join(", "),
    );
  for (const storage of values.storage.split(",") as VectorStorage[]) {
    const path = join(values.folder, `eva-clip-search-${rows}-${dimensions}-${storage}.safetensors`);
    if (!existsSync(path)) await writeIndex(path, rows, dimensions, storage);
    const read = readRate(path, threads);
    await using index = await openIndex(path, { threads });
    const all = unitRows(64, dimensions, 12_345);
    const queries = Array.from({ length: 64 }, (_, q) => all.subarray(q * dimensions, (q + 1) * dimensions));
    const first = await secondsOf(() => index.nearest(queries.slice(0, 1), { count: COUNT }));
    const recall = await recallOf(index, queries);
    const peer = await startPeer(path, threads);
    const bytes = rows * dimensions * (storage === "f32" ? 4 : 2);
    print({ storage, rows, dimensions, threads, recall, "first query ms": first * 1e3, "read GB/s": read });
    for (const count of QUERIES) {
      const some = queries.slice(0, count);
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let round = 0; round < rounds; round++) {
        ours.push(await secondsOf(() => index.nearest(some, { count: COUNT })));
        if (peer) theirs.push(await peer.peer.step(String(count)));
      }
      const seconds = median(ours);
      print({
        queries: count,
        ms: seconds * 1e3,
        "ms per query": (seconds * 1e3) / count,
        ...(count === 1 && { "GB/s": bytes / seconds / 1e9 }),
        ...(count === 1 && read !== undefined && { "share of read": bytes / seconds / 1e9 / read }),
        "GFLOP/s": (2 * rows * dimensions * count) / seconds / 1e9,
        ...(theirs.length > 0 && {
          [`PyTorch ${peer!.version} ms`]: median(theirs) * 1e3,
          "times as fast": median(theirs) / seconds,
        }),
      });
    }
    peer?.peer.stop();
  }
}

main();
