import { exportIndex } from "../../../lib/search/export/export_index";
import type { ExportBatch, ExportTarget } from "../../../lib/search/export/export_target";
import { lanceTable } from "../../../lib/search/export/lance_table";
import { parquetFile } from "../../../lib/search/export/parquet_file";
import { postgresTable } from "../../../lib/search/export/postgres_table";
import { qdrantCollection } from "../../../lib/search/export/qdrant_collection";
import { listedIndex, someItems } from "../../support/listed_index";

const items = someItems(10);

function collecting(batches: ExportBatch[]): ExportTarget {
  return {
    name: "a list",
    numbersAtOnce: 3 * 32 + 5,
    async write(_, given) {
      for await (const batch of given) batches.push(batch);
    },
  };
}

test("a target gets every entry, in batches of the size that it asks for, or that is given", async () => {
  const batches: ExportBatch[] = [];
  const progress: number[][] = [];
  const onProgress = (...counts: number[]) => progress.push(counts);
  await expect(exportIndex(listedIndex(items), collecting(batches), { onProgress })).resolves.toBe(10);
  expect(
    batches.flatMap(({ entries, vectors }) => entries.map((entry, i) => ({ entry, vector: vectors[i] }))),
  ).toEqual(items);
  expect(batches.map(({ after, entries }) => [after, entries.length])).toEqual([
    [-1, 3],
    [7, 3],
    [16, 3],
    [25, 1],
  ]);
  expect(progress).toEqual([
    [3, 10],
    [6, 10],
    [9, 10],
    [10, 10],
  ]);
  batches.length = 0;
  await exportIndex(listedIndex(items), collecting(batches), { batchSize: 5 });
  expect(batches).toHaveLength(2);
  await expect(exportIndex(listedIndex([]), collecting(batches))).resolves.toBe(0);
});

test("an aborted export ends before the next batch", async () => {
  const batches: ExportBatch[] = [];
  const aborting = new AbortController();
  const options = { signal: aborting.signal, onProgress: () => aborting.abort(new Error("enough")) };
  await expect(exportIndex(listedIndex(items), collecting(batches), options)).rejects.toThrow("enough");
  expect(batches).toHaveLength(1);
});

test.each([
  [
    () => exportIndex({} as never, collecting([])),
    "exportIndex: index must be an index that openIndex opened",
  ],
  [() => exportIndex(listedIndex([]), {} as never), "exportIndex: target must be a target"],
  [() => exportIndex(listedIndex([]), collecting([]), { batchSize: 0 }), "batchSize must be at least 1"],
  [() => parquetFile(""), "parquetFile: path must be"],
  [() => qdrantCollection({} as never), "qdrantCollection: options.collection must be a name"],
  [
    () => qdrantCollection({ collection: "a", url: "localhost:6333" }),
    "a URL that begins with http:// or https://",
  ],
  [() => postgresTable({ table: "" }), "postgresTable: options.table must be"],
  [
    () => postgresTable({ table: "a", url: "mysql://a" }),
    "a URL that begins with postgres:// or postgresql://",
  ],
  [() => lanceTable({ table: "a", url: "b" } as never), "lanceTable: options"],
])("invalid arguments are named (%#)", async (call, problem) => {
  const error = await Promise.resolve()
    .then<unknown>(call)
    .catch((error: unknown) => error);
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(problem),
  });
});

test("a missing package is named with the command that installs it", async () => {
  jest.resetModules();
  jest.doMock("pg", () => {
    throw Object.assign(new Error("Cannot find module 'pg'"), { code: "MODULE_NOT_FOUND" });
  });
  const { postgresTable: withoutPackage } = require("../../../lib/search/export/postgres_table");
  await expect(exportIndex(listedIndex(items), withoutPackage({ table: "a" }))).rejects.toMatchObject({
    code: "ERR_EVACLIP_PACKAGE_MISSING",
    message: expect.stringContaining("npm install pg"),
  });
});
