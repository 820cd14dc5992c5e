import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportIndex } from "../../../lib/search/export/export_index";
import { parquetFile } from "../../../lib/search/export/parquet_file";
import { eventLoopHeldMs } from "../../support/event_loop";
import { listedIndex, someItems } from "../../support/listed_index";

const folder = mkdtempSync(join(tmpdir(), "eva-clip-parquet-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Rows and metadata of a file, by hyparquet, which is an ES module. */
function readParquet(path: string): {
  rows: Record<string, unknown>[];
  metadata: { key: string; value: string }[];
  groups: number;
} {
  const program = `const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
    const file = await asyncBufferFromFile(process.argv[1]);
    const { key_value_metadata, row_groups } = await parquetMetadataAsync(file);
    const rows = await parquetReadObjects({ file });
    const text = (_, value) => (typeof value === "bigint" ? Number(value) : value);
    console.log(JSON.stringify({ rows, metadata: key_value_metadata, groups: row_groups.length }, text));`;
  return JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "--eval", program, path], { encoding: "utf8" }),
  );
}

test("every entry and every bit of its vector is read back", async () => {
  const path = join(folder, "new", "birds.parquet");
  const items = someItems(50);
  await expect(exportIndex(listedIndex(items), parquetFile(path), { batchSize: 20 })).resolves.toBe(50);
  const { rows, metadata, groups } = readParquet(path);
  expect(groups).toBe(3);
  expect(metadata).toContainEqual({ key: "eva-clip.model", value: "tiny" });
  expect(
    rows.map(({ metadata, vector, ...rest }) => ({
      ...rest,
      metadata: JSON.parse(metadata as string),
      vector: Float32Array.from(vector as number[]),
    })),
  ).toEqual(items.map(({ entry, vector }) => ({ caption: null, ...entry, vector })));
});

test("an empty index gives a file without rows", async () => {
  const path = join(folder, "empty.parquet");
  await exportIndex(listedIndex([]), parquetFile(path));
  expect(readParquet(path).rows).toEqual([]);
});

test("a file of the name stays until the new one is complete", async () => {
  const path = join(folder, "kept.parquet");
  writeFileSync(path, "old");
  const index = listedIndex(someItems(9));
  const onProgress = () => {
    throw new Error("stop");
  };
  await expect(exportIndex(index, parquetFile(path), { batchSize: 4, onProgress })).rejects.toThrow("stop");
  expect(readdirSync(folder).filter((name) => name.startsWith("kept"))).toEqual(["kept.parquet"]);
  await exportIndex(index, parquetFile(path));
  expect(readParquet(path).rows).toHaveLength(9);
});

test("a folder that cannot be written is an error", async () => {
  const path = join(folder, "kept.parquet", "inner.parquet");
  await expect(exportIndex(listedIndex(someItems(2)), parquetFile(path))).rejects.toMatchObject({
    code: "ERR_EVACLIP_IO",
  });
});

test("encoding holds the event loop only briefly", async () => {
  const index = listedIndex(someItems(600, 256), 256);
  const held = await eventLoopHeldMs(20, () =>
    exportIndex(index, parquetFile(join(folder, "large.parquet"))),
  );
  expect(held).toBeLessThan(20);
});

const python = process.env["EVA_CLIP_PEER_PYTHON"];
const hasPyarrow = python !== undefined && spawnSync(python, ["-c", "import pyarrow"]).status === 0;
(hasPyarrow ? test : test.skip)("pyarrow reads it", async () => {
  const path = join(folder, "peer.parquet");
  const items = someItems(20);
  await exportIndex(listedIndex(items), parquetFile(path));
  const program = `import json, sys, pyarrow.parquet as pq
print(json.dumps(pq.read_table(sys.argv[1]).to_pylist()))`;
  const rows = JSON.parse(execFileSync(python!, ["-c", program, path], { encoding: "utf8" }));
  expect(rows).toHaveLength(20);
  expect(Float32Array.from(rows[3].vector)).toEqual(items[3]!.vector);
});
