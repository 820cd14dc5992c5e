import { appendFile, mkdtemp, open, rm, truncate, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CounterRandom } from "../../lib/data";
import { writeSafetensors } from "../../lib/io/safetensors";
import { openIndex } from "../../lib/search";
import { ExactWriter, type VectorStorage } from "../../lib/search/exact/exact_writer";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-exact-"));
});
afterAll(() => rm(folder, { recursive: true }));

const statement = (dimensions: number) => ({
  model: "a model",
  fingerprint: "f",
  dimensions,
  root: "/photos",
});
const entryOf = (i: number) => ({
  source: `${i}.png`,
  version: "1",
  ...(i % 2 === 0 && { caption: `photo ${i}` }),
  metadata: { class: i % 3 === 0 ? "bird" : "cat", width: 100 + i },
});

/** Small integers, so that products are exact and ties abound. */
function vectorsOf(count: number, dimensions: number, seed = 1): Float32Array {
  const random = new CounterRandom(seed, count);
  return Float32Array.from({ length: count * dimensions }, () => random.below(5) - 2);
}

async function write(name: string, count: number, dimensions: number, storage: VectorStorage = "f32") {
  const path = join(folder, name);
  const vectors = vectorsOf(count, dimensions);
  await using writer = await ExactWriter.open(path, statement(dimensions), { storage });
  const entries = Array.from({ length: count }, (_, i) => entryOf(i));
  if (count > 0) await writer.append(entries, vectors);
  await writer.commit(entries);
  return { path, vectors };
}

/** Ids and similarities by comparison with every vector. */
function bruteForce(
  vectors: Float32Array,
  query: Float32Array,
  count: number,
  isAllowed = (_: number) => true,
) {
  const columns = query.length;
  const all = Array.from({ length: vectors.length / columns }, (_, id) => ({
    id,
    similarity: query.reduce((sum, value, i) => sum + value * vectors[id * columns + i]!, 0),
  }));
  return all
    .filter(({ id }) => isAllowed(id))
    .sort((a, b) => b.similarity - a.similarity || a.id - b.id)
    .slice(0, count);
}

test.each([
  ["f32", 700, 33, 10],
  ["f16", 700, 64, 10],
  ["bf16", 701, 7, 10],
  ["f32", 5, 16, 100],
  ["f32", 1, 1, 1],
] as const)(
  "recall is 1, with ties in order: %s, %p vectors of %p numbers",
  async (storage, count, columns, most) => {
    const { path, vectors } = await write(`${storage}-${count}.safetensors`, count, columns, storage);
    await using index = await openIndex(path, { threads: 2 });
    const queries = Array.from({ length: 70 }, (_, i) => vectorsOf(1, columns, 100 + i));
    const found = await index.nearest(queries, { count: most });
    const ranked = found.map((matches) => matches.map(({ id, similarity }) => ({ id, similarity })));
    expect(ranked).toEqual(queries.map((query) => bruteForce(vectors, query, most)));
    expect(found[0]![0]).toMatchObject(withoutVersion(entryOf(ranked[0]![0]!.id)));
  },
);

const withoutVersion = ({ version, ...entry }: ReturnType<typeof entryOf>) => entry;

test("a condition on metadata, source and caption selects entries before they are ranked", async () => {
  const { path, vectors } = await write("where.safetensors", 300, 16);
  await using index = await openIndex(path);
  const query = vectorsOf(1, 16, 7);
  const [matches] = await index.nearest([query], { where: "class = 'bird' and width > 200", count: 20 });
  const expected = bruteForce(vectors, query, 20, (id) => id % 3 === 0 && id > 100);
  expect(matches!.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
  expect(await index.nearest([query], { where: "width > 1000" })).toEqual([[]]);
  const unknown = { code: "ERR_EVACLIP_INVALID_ARGUMENT", message: expect.stringContaining("class") };
  await expect(index.nearest([query], { where: "color = 'red'" })).rejects.toMatchObject(unknown);
});

test("entries and vectors are read by id and in order", async () => {
  const { path, vectors } = await write("entries.safetensors", 300, 8);
  await using index = await openIndex(path);
  expect(await index.entry(4)).toEqual({ id: 4, ...withoutVersion(entryOf(4)) });
  expect(await index.vector(4)).toEqual(vectors.slice(32, 40));
  for (const id of [-1, 300, 0.5, Number.NaN]) {
    expect(await index.entry(id)).toBeUndefined();
    expect(await index.vector(id)).toBeUndefined();
  }
  let next = 0;
  for await (const { entry, vector } of index.vectors()) {
    expect(entry.id).toBe(next);
    expect(vector).toEqual(vectors.slice(next * 8, ++next * 8));
  }
  expect(next).toBe(300);
});

test("wrong queries are refused", async () => {
  const { path } = await write("refused.safetensors", 3, 4);
  await using index = await openIndex(path);
  const nearest = (query: Float32Array) => index.nearest([query]);
  await expect(nearest(new Float32Array(5))).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
  await expect(nearest(Float32Array.of(0, Number.NaN, 0, 0))).rejects.toMatchObject({
    code: "ERR_EVACLIP_NOT_FINITE",
  });
  await expect(index.nearest([], { count: 0 })).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
  });
  expect(await index.nearest([])).toEqual([]);
});

test("a search ends with its signal, and a disposed index refuses calls after those under way", async () => {
  const { path } = await write("disposed.safetensors", 100, 16);
  const index = await openIndex(path);
  const query = vectorsOf(1, 16);
  const stop = new AbortController();
  const stopped = index.nearest(Array(300).fill(query), { signal: stop.signal });
  stop.abort(new Error("given up"));
  await expect(stopped).rejects.toThrow("given up");
  const pending = index.nearest([query]);
  await index.dispose();
  expect((await pending)[0]).toHaveLength(10);
  await expect(index.nearest([query])).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
  await expect(index.entry(0)).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
  await index.dispose();
});

test("a file that is truncated or written to after it was opened is an error", async () => {
  const changes: [string, (path: string) => Promise<unknown>, string][] = [
    ["truncated", (path) => truncate(path, 1000), "truncated"],
    ["longer", (path) => appendFile(path, "more"), "changed"],
    ["touched", (path) => utimes(path, 1, 1), "changed"],
  ];
  for (const [name, change, problem] of changes) {
    const { path } = await write(`${name}.safetensors`, 500, 16);
    await using index = await openIndex(path);
    await index.nearest([vectorsOf(1, 16)]);
    await change(path);
    const expected = { code: "ERR_EVACLIP_IO", message: expect.stringContaining(problem) };
    await expect(index.nearest([vectorsOf(1, 16)])).rejects.toMatchObject(expected);
  }
});

test("a vector that holds NaN is an error that names it", async () => {
  const { path } = await write("nan.safetensors", 20, 16);
  await using index = await openIndex(path);
  const file = await open(path, "r+");
  const header = await file.read(Buffer.alloc(8), 0, 8, 0);
  const lines = 8 * 21;
  const at = 8 + Number(header.buffer.readBigUInt64LE()) + lines + 7 * 64;
  await file.write(Buffer.from(new Float32Array([Number.NaN]).buffer), 0, 4, at);
  await file.close();
  await using broken = await openIndex(path);
  const query = new Float32Array(16).fill(1);
  const corrupt = { code: "ERR_EVACLIP_CHECKPOINT_CORRUPT", message: expect.stringContaining("vector 7") };
  await expect(broken.nearest([query])).rejects.toMatchObject(corrupt);
  await expect(broken.vector(7)).rejects.toMatchObject(corrupt);
  expect(index.size).toBe(20);
});

test("other safetensors files are no index", async () => {
  const path = join(folder, "weights.safetensors");
  const vectors = { name: "vectors", dtype: "F32", shape: [2, 2], data: new Float32Array(4) } as const;
  await writeSafetensors(path, [vectors], { format: "pt" });
  const corrupt = { code: "ERR_EVACLIP_CHECKPOINT_CORRUPT" };
  await expect(openIndex(path)).rejects.toMatchObject(corrupt);
  const stated = { format: "eva-clip index 1", ...statement(3), dimensions: "3" };
  const others = [
    { name: "entries", dtype: "U8", shape: [0], data: new Uint8Array(0) },
    { name: "lines", dtype: "I64", shape: [3], data: new BigInt64Array(3) },
  ] as const;
  await writeSafetensors(path, [vectors, ...others], stated);
  await expect(openIndex(path)).rejects.toMatchObject({
    ...corrupt,
    message: expect.stringContaining("[2,2]"),
  });
  await expect(openIndex(join(folder, "none"))).rejects.toMatchObject({ code: "ERR_EVACLIP_IO" });
});
