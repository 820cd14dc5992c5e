import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqlStore } from "../../lib/search/sql/sql_store";
import { SqlWriter } from "../../lib/search/sql/sql_writer";
import { eventLoopHeldMs } from "../support/event_loop";
import { dot } from "../support/numbers";
import {
  nearestRows,
  type RandomIndex,
  sourcesOf,
  STATEMENT,
  unitRows,
  writeRandomIndex,
} from "../support/random_index";

const folder = mkdtempSync(join(tmpdir(), "eva-clip-sql-"));
const path = join(folder, "birds.db");
let index: RandomIndex;
let store: SqlStore;

beforeAll(async () => {
  index = await writeRandomIndex(path, 3000);
  store = await SqlStore.open(path);
});

afterAll(async () => {
  await store.dispose();
  rmSync(folder, { recursive: true });
});

const queries = Array.from({ length: 3 }, (_, i) => unitRows(1, 32, 50 + i));

test("states what was indexed, in one file", () => {
  const { size, model, fingerprint, dimensions, root } = store;
  expect({ model, fingerprint, dimensions, root }).toEqual(STATEMENT);
  expect(size).toBe(3000);
  expect(readdirSync(folder)).toEqual(["birds.db"]);
});

test("the nearest entries are those of a scan of every vector, with their similarities", async () => {
  const found = await store.nearest(queries, { count: 25 });
  found.forEach((matches, i) => {
    const expected = nearestRows(index.rows, queries[i]!, 25);
    expect(sourcesOf(matches)).toEqual(expected.map((row) => index.entries[row]!.source));
    matches.forEach(({ similarity }, j) => {
      const row = index.rows.subarray(32 * expected[j]!, 32 * (expected[j]! + 1));
      expect(similarity).toBeCloseTo(dot(row, queries[i]!), 6);
    });
  });
  const [[match] = []] = found;
  const { version: _, ...entry } = index.entries.find(({ source }) => source === match!.source)!;
  expect(match).toMatchObject(entry);
});

test("a query need not have unit length, and count may exceed the entries", async () => {
  const [query] = queries;
  const [[unit] = [], all] = await store.nearest([query!, query!.map((x) => 3 * x)], { count: 5000 });
  expect(all).toHaveLength(3000);
  expect(all![0]!.similarity).toBeCloseTo(3 * unit!.similarity, 5);
  await expect(store.nearest([])).resolves.toEqual([]);
});

test.each([
  ["class = 'wren' and width > 1000", (i: number) => i % 2 === 0 && i > 900],
  ["class = 'owl''s' AND NOT seen", (i: number) => i % 2 === 1 && i % 5 !== 0],
  ["caption is not null and seen = true", (i: number) => i % 15 === 0],
  ["caption like 'BIRD 1%'", (i: number) => i % 3 === 0 && `${i}`.startsWith("1")],
  ["source glob '*/??.jpg' or id in (1, 2)", (i: number) => i < 2 || (i >= 10 && i < 100)],
  ['"width" between 200 and 2e2 + 7 * (3 - 1)', (i: number) => i >= 100 && i <= 114],
  ["note is null and case when ratio < .5 then 1 else 0 end", (i: number) => i < 4],
  ["upper(substr(class, 1, 1)) == 'O' and coalesce(caption, '') <> ''", (i: number) => i % 6 === 3],
  ["width / 100 = 2 and width % 100 = 5", (i: number) => i === 105],
  ["-width < -3090 and abs(-1) = 1 and class || '!' = 'wren!'", (i: number) => i > 2990 && i % 2 === 0],
])("where %s", async (where, isWanted) => {
  const [found] = await store.nearest([queries[0]!], { count: 3000, where });
  const expected = nearestRows(index.rows, queries[0]!, 3000, isWanted);
  expect(sourcesOf(found!)).toEqual(expected.map((row) => index.entries[row]!.source));
  expect(expected.length).toBeGreaterThan(0);
});

test("entries, their vectors, and all of them in order", async () => {
  const { version: _, ...entry } = index.entries[6]!;
  await expect(store.entry(7)).resolves.toEqual({ id: 7, ...entry });
  await expect(store.vector(7)).resolves.toEqual(index.rows.slice(6 * 32, 7 * 32));
  await expect(store.entry(0)).resolves.toBeUndefined();
  await expect(store.vector(2 ** 53 - 1)).resolves.toBeUndefined();
  await expect(store.entry(1.5)).rejects.toMatchObject({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
  let count = 0;
  for await (const { entry, vector } of store.vectors()) {
    expect(entry.id).toBe(count + 1);
    if (count % 500 === 0) expect(vector).toEqual(index.rows.slice(count * 32, (count + 1) * 32));
    count++;
  }
  expect(count).toBe(3000);
});

test("a search holds the event loop only briefly, and calls do not disturb each other", async () => {
  const search = () =>
    Promise.all(queries.map((query) => store.nearest([query], { where: "length(caption) > 0", count: 50 })));
  expect(await eventLoopHeldMs(20, search)).toBeLessThan(20);
});

test("an aborted search rejects at once, even within a slow statement, and the next one is right", async () => {
  const aborting = new AbortController();
  // Joins 900 texts for each entry, which takes seconds.
  const where = `length(${Array(900).fill("source").join(" || ")}) > 0`;
  const searching = store.nearest([queries[0]!], { where, signal: aborting.signal });
  setTimeout(() => aborting.abort(new Error("enough")), 100);
  const begin = performance.now();
  await expect(searching).rejects.toThrow("enough");
  expect(performance.now() - begin).toBeLessThan(1000);
  await expect(
    store.nearest([queries[0]!], { signal: AbortSignal.abort(new Error("before")) }),
  ).rejects.toThrow("before");
  const [found] = await store.nearest([queries[0]!], { count: 1 });
  expect(found![0]!.source).toBe(index.entries[nearestRows(index.rows, queries[0]!, 1)[0]!]!.source);
});

test("invalid queries and options are named", async () => {
  const code = "ERR_EVACLIP_INVALID_ARGUMENT";
  await expect(store.nearest([new Float32Array(31)])).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
  await expect(store.nearest([new Float32Array(32).fill(NaN)])).rejects.toMatchObject({
    code: "ERR_EVACLIP_NOT_FINITE",
  });
  await expect(store.nearest([queries[0]!], { count: 0 })).rejects.toMatchObject({ code });
  await expect(store.nearest([queries[0]!], { were: "x" } as never)).rejects.toThrow("did you mean where?");
});

test("a disposed store rejects", async () => {
  const other = await SqlStore.open(path);
  const pending = other.nearest([queries[0]!]);
  await other.dispose();
  await expect(pending).resolves.toHaveLength(1);
  await expect(other.nearest([queries[0]!])).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
});

test("opens a file in a folder where nothing can be written", async () => {
  const fixed = join(folder, "read-only");
  mkdirSync(fixed);
  copyFileSync(path, join(fixed, "b.db"));
  chmodSync(join(fixed, "b.db"), 0o444);
  chmodSync(fixed, 0o555);
  await using copy = await SqlStore.open(join(fixed, "b.db"));
  await expect(copy.nearest([queries[0]!])).resolves.toHaveLength(1);
});

test("files that are no index are refused", async () => {
  await expect(SqlStore.open(join(folder, "none.db"))).rejects.toMatchObject({ code: "ERR_EVACLIP_IO" });
  await expect(SqlStore.open(folder)).rejects.toMatchObject({ code: "ERR_EVACLIP_IO" });
  const other = join(folder, "other.db");
  writeFileSync(other, "hello");
  await expect(SqlStore.open(other)).rejects.toThrow("is not an SQLite database");
  await expect(SqlWriter.open(other, STATEMENT)).rejects.toThrow("is not an SQLite database");
  writeFileSync(other, `SQLite format 3\0${"x".repeat(5000)}`);
  await expect(SqlStore.open(other)).rejects.toMatchObject({ code: "ERR_EVACLIP_CHECKPOINT_CORRUPT" });
});
