import { execFileSync } from "node:child_process";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTensors } from "../../lib/io/open_tensors";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors";
import { readFloat32 } from "../../lib/io/tensor_source";

let directory: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "open-"));
});
afterEach(() => fs.rm(directory, { recursive: true }));

const write = (name: string, tensors: Record<string, number[]>, metadata = {}) =>
  writeSafetensors(
    join(directory, name),
    Object.entries(tensors).map(([key, values]) => ({
      name: key,
      dtype: "F32",
      shape: [values.length],
      data: Float32Array.from(values),
    })),
    metadata,
  );
const writeIndex = (map: unknown, name = "model.safetensors.index.json") =>
  fs.writeFile(
    join(directory, name),
    JSON.stringify({ metadata: { total_size: 12 }, weight_map: map }, null, 2),
  );
const failing = (code: string, message: RegExp) =>
  expect.objectContaining({ code: `ERR_EVACLIP_${code}`, message: expect.stringMatching(message) });

test("a safetensors file is recognized by content, under any name", async () => {
  await write("weights.bin", { a: [1, 2] }, { note: "x" });
  await using source = await openTensors(join(directory, "weights.bin"));
  expect(source).toMatchObject({ format: "safetensors", metadata: { note: "x" } });
  expect([...(await readFloat32(source.tensors.get("a")!))]).toEqual([1, 2]);
});

test("a folder's model is found under a usual name", async () => {
  await expect(openTensors(directory)).rejects.toEqual(failing("IO", /has no model: expected one of/));
  await write("open_clip_model.safetensors", { b: [1] });
  await using second = await openTensors(directory);
  expect([...second.tensors.keys()]).toEqual(["b"]);
  await write("model.safetensors", { a: [1] });
  await using first = await openTensors(directory);
  expect([...first.tensors.keys()]).toEqual(["a"]);
});

test("an index gives the tensors of all its shards", async () => {
  await write("one.safetensors", { a: [1], b: [2] }, { part: "1" });
  await write("two.safetensors", { b: [9], c: [3] }, { format: "pt" });
  await writeIndex({ a: "one.safetensors", b: "one.safetensors", c: "two.safetensors" });
  for (const path of [directory, join(directory, "model.safetensors.index.json")]) {
    await using source = await openTensors(path);
    expect([...source.tensors.keys()].sort()).toEqual(["a", "b", "c"]);
    expect([...(await readFloat32(source.tensors.get("b")!))]).toEqual([2]);
    expect(source).toMatchObject({ format: "safetensors", metadata: { part: "1", format: "pt" } });
  }
});

test("a tensor that the index does not list is found too, unless two shards have it", async () => {
  await write("one.safetensors", { a: [1], extra: [2] });
  await write("two.safetensors", { c: [3] });
  await writeIndex({ a: "one.safetensors", c: "two.safetensors" });
  await using source = await openTensors(directory);
  expect(source.tensors.has("extra")).toBe(true);
  await write("two.safetensors", { c: [3], extra: [4] });
  await expect(openTensors(directory)).rejects.toEqual(
    failing("CHECKPOINT_CORRUPT", /does not list "extra", which more than one/),
  );
});

test.each<[string, unknown, string, RegExp]>([
  [
    "a tensor that its shard lacks",
    { a: "one.safetensors", b: "one.safetensors" },
    "CHECKPOINT_CORRUPT",
    /places "b" in one\.safetensors, which does not have it/,
  ],
  ["a missing shard", { a: "one.safetensors", b: "none.safetensors" }, "IO", /none\.safetensors/],
  [
    "a shard outside the folder",
    { a: "../one.safetensors" },
    "CHECKPOINT_CORRUPT",
    /places "a" in "\.\.\/one/,
  ],
  ["an absolute path", { a: "/etc/passwd" }, "CHECKPOINT_CORRUPT", /places "a" in "\/etc/],
  ["a path that comes back", { a: "x/../../one.safetensors" }, "CHECKPOINT_CORRUPT", /places "a"/],
  ["a shard that is not a name", { a: 3 }, "CHECKPOINT_CORRUPT", /places "a" in 3/],
  [
    "an index among the shards",
    { a: "model.safetensors.index.json" },
    "CHECKPOINT_CORRUPT",
    /is JSON; expected/,
  ],
  ["no map", undefined, "CHECKPOINT_CORRUPT", /expected a weight_map/],
  ["an empty map", {}, "CHECKPOINT_CORRUPT", /expected a weight_map/],
  ["a list", ["one.safetensors"], "CHECKPOINT_CORRUPT", /expected a weight_map/],
])("an index is refused: %s", async (_, map, code, message) => {
  await write("one.safetensors", { a: [1] });
  await writeIndex(map);
  await expect(openTensors(directory)).rejects.toEqual(failing(code, message));
});

test("wrapper prefixes are removed from the tensors of shards, whether or not the index has them", async () => {
  await write("one.safetensors", { "module.a": [1] });
  await write("two.safetensors", { "module._orig_mod.b": [2] });
  await writeIndex({ "module.a": "one.safetensors", "module._orig_mod.b": "two.safetensors" });
  await using source = await openTensors(directory);
  expect([...source.tensors.keys()].sort()).toEqual(["a", "b"]);
});

test("special files are named and not opened", async () => {
  const pipe = join(directory, "pipe");
  execFileSync("mkfifo", [pipe]);
  await expect(openTensors(pipe)).rejects.toEqual(
    failing("IO", /pipe is a named pipe \(FIFO\); expected a file/),
  );
  await expect(openTensors("/dev/zero")).rejects.toEqual(failing("IO", /is a device; expected a file/));
  await expect(openSafetensors(pipe)).rejects.toEqual(failing("IO", /named pipe/));
  await fs.rename(pipe, join(directory, "model.safetensors"));
  await expect(openTensors(directory)).rejects.toEqual(failing("IO", /model\.safetensors is a named pipe/));
  await writeIndex({ a: "model.safetensors" }, "index.json");
  await expect(openTensors(join(directory, "index.json"))).rejects.toEqual(failing("IO", /named pipe/));
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;
asRoot("a folder and a file without permission say so", async () => {
  await write("model.safetensors", { a: [1] });
  await fs.chmod(directory, 0o700);
  process.seteuid!(65534);
  try {
    await expect(openTensors(directory)).rejects.toEqual(failing("IO", /no permission .*EACCES/));
    await expect(openTensors(join(directory, "model.safetensors"))).rejects.toEqual(failing("IO", /EACCES/));
  } finally {
    process.seteuid!(0);
  }
});

test.each(["x.safetensors", "x.bin"])("a damaged header in %s is reported as such", async (name) => {
  const path = join(directory, name);
  await fs.writeFile(path, Buffer.concat([Buffer.alloc(8, 0xff), Buffer.from('{"a":1}')]));
  const problem = name.endsWith("bin") ? /nor a safetensors file/ : /is a broken safetensors file/;
  await expect(openTensors(path)).rejects.toEqual(failing("CHECKPOINT_CORRUPT", problem));
});

test("an index that is not JSON, and a path that does not exist", async () => {
  await fs.writeFile(join(directory, "model.safetensors.index.json"), '{"weight_map": ');
  await expect(openTensors(directory)).rejects.toEqual(failing("CHECKPOINT_CORRUPT", /is not JSON/));
  await expect(openTensors(join(directory, "none"))).rejects.toEqual(failing("IO", /none/));
});

test.each<[string, string]>([
  ["an empty file", ""],
  ["a short file", "abc"],
  ["text", "these are not the weights you are looking for"],
])("%s is refused", async (_, content) => {
  await fs.writeFile(join(directory, "file"), content);
  await expect(openTensors(join(directory, "file"))).rejects.toEqual(failing("CHECKPOINT_CORRUPT", /file/));
});
