import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QdrantServer } from "../support/qdrant_server";
import { writeRandomIndex } from "../support/random_index";
import { captureCli } from "../support/run_cli";

const folder = mkdtempSync(join(tmpdir(), "eva-clip-export-"));
const index = join(folder, "birds.db");

beforeAll(() => writeRandomIndex(index, 20));
afterAll(() => rmSync(folder, { recursive: true }));

test("an index is exported to the collection of its name, and again after a change of the command", async () => {
  await using server = await QdrantServer.start();
  const words = ["export", index, "--to", "qdrant", "--url", server.url];
  const { code, out, err } = await captureCli(...words, "--batch-size", "8");
  expect({ code, out }).toEqual({
    code: 0,
    out: `20 entries of ${index} are in the collection birds of ${server.url}/\n`,
  });
  expect(err).toContain("20/20 entries");
  expect(server.points.size).toBe(20);
  const again = await captureCli(...words, "--name", "birds", "--prune", "--json");
  expect(JSON.parse(again.out)).toEqual({
    index,
    target: `the collection birds of ${server.url}/`,
    entries: 20,
  });
});

test("to a file", async () => {
  const out = join(folder, "birds.parquet");
  await expect(captureCli("export", index, "--to", "parquet", "--out", out)).resolves.toMatchObject({
    code: 0,
  });
});

test.each([
  [["--to", "parquet"], "--to parquet needs --out FILE"],
  [["--to", "lancedb"], "--to lancedb needs --url FOLDER"],
  [["--to", "milvus"], "Allowed choices are parquet, qdrant, pgvector, lancedb"],
  [[], "required option '--to <kind>' not specified"],
  [["--to", "parquet", "--out", "a", "--hnsw"], "--hnsw is not for --to parquet"],
  [["--to", "pgvector", "--api-key", "a"], "--api-key is not for --to pgvector"],
  [["--to", "qdrant", "--url", "localhost"], "a URL that begins with http:// or https://"],
])("%j is refused", async (words, problem) => {
  const { code, err } = await captureCli("export", index, ...words);
  expect(code).toBe(2);
  expect(err).toContain(problem);
});
