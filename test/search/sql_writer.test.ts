import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import Database from "libsql";
import type { NewEntry } from "../../lib/search/index_writer";
import { SqlStore } from "../../lib/search/sql/sql_store";
import { SqlWriter } from "../../lib/search/sql/sql_writer";
import { BATCH, batchOf } from "../support/append_forever";
import { someEntries, sourcesOf, STATEMENT, unitRows, writeRandomIndex } from "../support/random_index";
import { TranspiledLibrary } from "../support/transpiled_library";

const folder = mkdtempSync(join(tmpdir(), "eva-clip-sql-"));
const library = new TranspiledLibrary();
let number = 0;
const newPath = () => join(folder, `${number++}`, "index.db");

afterAll(() => {
  library.remove();
  rmSync(folder, { recursive: true });
});

async function everything(path: string) {
  await using store = await SqlStore.open(path);
  const found = [];
  for await (const item of store.vectors()) found.push(item);
  expect(store.size).toBe(found.length);
  return found;
}

test("readers see entries after commit; a build without it is continued", async () => {
  const path = newPath();
  const entries = someEntries(10);
  const rows = unitRows(10, 32, 1);
  {
    await using writer = await SqlWriter.open(path, STATEMENT);
    await writer.append(entries.slice(0, 6), rows.slice(0, 6 * 32));
  }
  await expect(everything(path)).resolves.toEqual([]);
  await using writer = await SqlWriter.open(path, { ...STATEMENT, model: "renamed" });
  await expect(writer.has(entries[5]!)).resolves.toBe(true);
  await expect(writer.has({ ...entries[5]!, version: "2" })).resolves.toBe(false);
  await expect(writer.has(entries[6]!)).resolves.toBe(false);
  await writer.append(entries.slice(6), rows.slice(6 * 32));
  await writer.commit(entries);
  const found = await everything(path);
  expect(sourcesOf(found.map(({ entry }) => entry))).toEqual(sourcesOf(entries as never));
  expect(found.flatMap(({ vector }) => [...vector])).toEqual([...rows]);
  await using store = await SqlStore.open(path);
  expect(store.model).toBe("renamed");
});

test("a changed image keeps its id, a missing one goes, a new one comes", async () => {
  const path = newPath();
  await writeRandomIndex(path, 10);
  const kept = someEntries(10).filter((_, i) => i !== 4 && i !== 9);
  const changed: NewEntry = { ...kept[2]!, version: "2", caption: "changed", metadata: { color: "red" } };
  const added: NewEntry = { source: "added.jpg", version: "1", metadata: {} };
  const rows = unitRows(2, 32, 7);
  await using writer = await SqlWriter.open(path, STATEMENT);
  await writer.append([{ ...changed, version: "1.5" }], unitRows(1, 32, 8));
  await writer.append([changed, added], rows);
  await using store = await SqlStore.open(path);
  await expect(store.entry(3)).resolves.toMatchObject({ metadata: { width: 102 } });
  await expect(writer.commit([...kept.filter((_, i) => i !== 2), changed, added])).resolves.toBe(2);
  await expect(store.entry(3)).resolves.toMatchObject({
    id: 3,
    caption: "changed",
    metadata: { color: "red" },
  });
  await expect(store.vector(3)).resolves.toEqual(rows.slice(0, 32));
  await expect(store.entry(5)).resolves.toBeUndefined();
  await expect(store.vector(5)).resolves.toBeUndefined();
  expect(store.size).toBe(9);
  const [found] = await store.nearest([rows.slice(32)], {
    count: 100,
    where: "color = 'red' or source = 'added.jpg'",
  });
  expect(sourcesOf(found!)).toEqual(["added.jpg", changed.source]);
  await writer.commit([]);
  await expect(store.nearest([rows.slice(0, 32)])).resolves.toEqual([[]]);
  await writer.append([added], rows.slice(32));
  await writer.commit([added]);
  await expect(store.nearest([rows.slice(0, 32)])).resolves.toHaveLength(1);
});

test("text of any kind, empty metadata, and null", async () => {
  const path = newPath();
  const entries: NewEntry[] = [
    {
      source: "naïve/🙂 'x' \"y\".jpg",
      version: "v\0",
      caption: "a\0b\n",
      metadata: { "k\"'.é": "\0🙂", n: null },
    },
    {
      source: "empty",
      version: "",
      caption: "",
      metadata: { "": -0.5e-300, big: 2 ** 53, yes: true, no: false },
    },
  ];
  await using writer = await SqlWriter.open(path, STATEMENT);
  await writer.append(entries, unitRows(2, 32, 1));
  await writer.commit(entries);
  const found = (await everything(path)).map(({ entry }) => entry);
  expect(found).toEqual(entries.map(({ version: _, ...entry }, i) => ({ id: i + 1, ...entry })));
  await using store = await SqlStore.open(path);
  const [matches] = await store.nearest([unitRows(1, 32, 1)], { where: "caption = '' or yes" });
  expect(sourcesOf(matches!)).toEqual(["empty"]);
});

test("ids up to 2^53 - 1; a larger one is a damaged index", async () => {
  const path = newPath();
  await writeRandomIndex(path, 3);
  const change = (sql: string) => {
    const database = new Database(path);
    database.exec(sql);
    database.close();
  };
  const id = Number.MAX_SAFE_INTEGER;
  const move = (from: unknown, to: unknown) =>
    change(`update entries set id = ${to} where id = ${from}; update vectors set id = ${to} where id = ${from};
      update state set committed = ${to}`);
  move(3, id);
  expect((await everything(path)).map(({ entry }) => entry.id)).toEqual([1, 2, id]);
  await using store = await SqlStore.open(path);
  await expect(store.entry(id)).resolves.toMatchObject({ id, source: "birds/2.jpg" });
  await expect(store.nearest([unitRows(1, 32, 9)])).resolves.toMatchObject([{ length: 3 }]);
  change("update vectors set vector = x'00' where id = 2");
  await expect(store.vector(2)).rejects.toThrow("vector 2 has 1 bytes, expected 128");
  move(id, 2n ** 53n);
  await expect(everything(path)).rejects.toMatchObject({ code: "ERR_EVACLIP_CHECKPOINT_CORRUPT" });
});

test("what cannot be indexed is named, and nothing of it is written", async () => {
  const path = newPath();
  await using writer = await SqlWriter.open(path, STATEMENT);
  const [entry] = someEntries(1);
  const row = unitRows(1, 32, 1);
  const refused = (more: object, vectors = row) =>
    expect(writer.append([{ ...entry!, ...more }], vectors)).rejects;
  await refused(
    {},
    row.map((x) => 2 * x),
  ).toThrow("the vector of birds/0.jpg has length 2.00000, expected 1");
  await refused({}, row.with(3, NaN)).toMatchObject({ code: "ERR_EVACLIP_NOT_FINITE" });
  await refused({}, row.slice(1)).toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
  await refused({ metadata: { width: NaN } }).toThrow("width of birds/0.jpg must be text, a finite number");
  await refused({ metadata: { width: 1n } }).toThrow("found 1n");
  await expect(writer.append([entry!, entry!], unitRows(2, 32, 1))).rejects.toThrow("twice");
  await expect(writer.commit([entry!, entry!])).rejects.toThrow("twice");
  await expect(writer.commit([entry!])).rejects.toThrow("does not have birds/0.jpg in this version");
  await expect(writer.has(entry!)).resolves.toBe(false);
  await expect(writer.commit([])).resolves.toBe(0);
});

test.each([
  ["fingerprint", { fingerprint: "f2" }, "was embedded by"],
  ["length", { dimensions: 64 }, "has vectors of 32 numbers, but these have 64"],
  ["root", { root: "/other" }, "but these are below /other"],
])("an index of another %s is not continued", async (_, more, problem) => {
  const path = newPath();
  await writeRandomIndex(path, 3);
  await expect(SqlWriter.open(path, { ...STATEMENT, ...more })).rejects.toThrow(problem);
});

test("another program's database is left as it is, an empty file is taken", async () => {
  const path = join(folder, "other.db");
  const other = new Database(path);
  other.exec("create table t (x)");
  other.close();
  await expect(SqlWriter.open(path, STATEMENT)).rejects.toThrow("but not an index of eva-clip");
  await expect(SqlStore.open(path)).rejects.toMatchObject({ code: "ERR_EVACLIP_CHECKPOINT_UNSUPPORTED" });
  expect(existsSync(`${path}-wal`)).toBe(false);
  const empty = join(folder, "empty.db");
  writeFileSync(empty, "");
  await writeRandomIndex(empty, 3);
  await expect(everything(empty)).resolves.toHaveLength(3);
});

test("searches go on, each in one state, while a build appends and commits", async () => {
  const path = newPath();
  await writeRandomIndex(path, 200);
  await using store = await SqlStore.open(path);
  await using writer = await SqlWriter.open(path, STATEMENT);
  let isDone = false;
  const building = (async () => {
    for (let round = 2; round < 6; round++) {
      const entries = someEntries(200, `${round}`).map((entry) => ({ ...entry, metadata: { round } }));
      for (let i = 0; i < 200; i += 50) {
        await writer.append(entries.slice(i, i + 50), unitRows(50, 32, round + i));
      }
      await writer.commit(entries);
    }
    isDone = true;
  })();
  let searches = 0;
  while (!isDone) {
    const [matches] = await store.nearest([unitRows(1, 32, 99)], { count: 500 });
    expect(matches).toHaveLength(200);
    expect(new Set(matches!.map(({ metadata }) => metadata.round)).size).toBe(1);
    searches++;
  }
  await building;
  expect(searches).toBeGreaterThan(3);
});

test("a build that is killed at any moment loses nothing that it appended, and leaves no half of a batch", async () => {
  const path = newPath();
  for (const after of [0, 60]) {
    const child = spawn(process.execPath, [library.script("append_forever.js"), path], { env: library.env });
    let printed = "";
    child.stdout.on("data", (text) => {
      printed += text;
    });
    await once(child.stdout, "data");
    await setTimeout(after);
    child.kill("SIGKILL");
    await once(child, "close");
    const batches = Number(printed.trim().split("\n").at(-1));
    await using writer = await SqlWriter.open(path, STATEMENT);
    for (const batch of new Set([0, batches >> 1, batches - 1])) {
      await expect(writer.has(batchOf(batch)[BATCH - 1]!)).resolves.toBe(true);
    }
    const last = await Promise.all(batchOf(batches).map((entry) => writer.has(entry)));
    expect(new Set(last).size).toBe(1);
    const images = Array.from({ length: batches }, (_, batch) => batchOf(batch)).flat();
    await writer.commit(images);
    await writer.dispose();
    await expect(everything(path)).resolves.toHaveLength(batches * BATCH);
    expect(readdirSync(join(path, ".."))).toEqual(["index.db"]);
  }
});

test("worker threads are terminated, and the process exits, during a search", async () => {
  const path = newPath();
  await writeRandomIndex(path, 2000);
  const script = library.script("search_forever.js");
  const { status, stderr } = spawnSync(process.execPath, [script, path, "6"], {
    env: library.env,
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 7, stderr: "" });
});
