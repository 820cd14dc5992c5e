import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { WeightsChoice } from "../../lib/io/moving_average";
import { openTensors } from "../../lib/io/open_tensors";
import { openPytorch } from "../../lib/io/pytorch/pytorch_file";
import { openSafetensors } from "../../lib/io/safetensors";
import { readFloat32 } from "../../lib/io/tensor_source";
import { relativeError } from "../support/numbers";
import { checkpointEntries, packArchive, ScratchFolder, tensorPickle } from "../support/pytorch_archive";

const FIXTURES = join(__dirname, "../fixtures");
const fixture = (name: string) => join(FIXTURES, "pytorch", `${name}.pt`);

const failure = (kind: string, message: RegExp) =>
  expect.objectContaining({
    code: `ERR_EVACLIP_CHECKPOINT_${kind}`,
    message: expect.stringMatching(message),
  });

let scratch: ScratchFolder;
beforeAll(async () => {
  scratch = await ScratchFolder.create();
});
afterAll(() => scratch[Symbol.asyncDispose]());

/** Opens a checkpoint with the given pickle and one storage of 16 bytes. */
async function open(pickle: string) {
  return openPytorch(await scratch.write("made.pt", packArchive(checkpointEntries(pickle))));
}

const TOWER = { scale: 2.5, "projection.weight": [0, 1, 2, 3, 4, 5], "projection.bias": [-1, 0.5, 7] };

async function expectTower(path: string) {
  await using source = await openTensors(path);
  expect([...source.tensors.keys()].sort()).toEqual(Object.keys(TOWER).sort());
  expect(source.tensors.get("projection.weight")).toMatchObject({ dtype: "F32", shape: [3, 2] });
  for (const name of ["projection.weight", "projection.bias"] as const) {
    expect(Array.from(await readFloat32(source.tensors.get(name)!))).toEqual(TOWER[name]);
  }
  return source.metadata;
}

describe("openPytorch reads", () => {
  test.each([
    ["eva02_b_fp16.pt", "F16", 2 ** -11, {}],
    ["eva02_b_fp16_wrapped.pt", "F16", 2 ** -11, { epoch: "3" }],
    ["eva02_b_bf16.pt", "BF16", 2 ** -8, {}],
  ])("%s: the weights of its safetensors file, rounded", async (name, dtype, rounding, metadata) => {
    await using source = await openTensors(join(FIXTURES, name));
    await using expected = await openSafetensors(join(FIXTURES, "eva02_b.safetensors"));
    expect(source).toMatchObject({ format: "pytorch", metadata });
    const weights = [...expected.tensors.keys()].filter((key) => key.startsWith("weights/"));
    expect([...source.tensors.keys()].sort()).toEqual(weights.map((key) => key.slice(8)).sort());
    for (const [key, tensor] of source.tensors) {
      expect(tensor).toMatchObject({ dtype, shape: expected.tensors.get(`weights/${key}`)!.shape });
      const values = await readFloat32(expected.tensors.get(`weights/${key}`)!);
      expect(relativeError(await readFloat32(tensor), values)).toBeLessThanOrEqual(rounding);
    }
  });

  test("views: offsets, strides, repeated elements, shared and empty storages", async () => {
    await using source = await openPytorch(fixture("views"));
    const read = async (name: string) => Array.from(await readFloat32(source.tensors.get(name)!));
    const count = (length: number, place: (i: number) => number) =>
      Array.from({ length }, (_, i) => place(i));
    expect(await read("base")).toEqual(count(24, (i) => i));
    expect(await read("inside")).toEqual([8, 9, 10, 14, 15, 16]);
    expect(source.tensors.get("inside")).toMatchObject({ shape: [2, 3], strides: [6, 1] });
    expect(await read("transposed")).toEqual(count(24, (i) => (i % 4) * 6 + Math.floor(i / 4)));
    expect(await read("every_other")).toEqual(count(12, (i) => 2 * i + 1));
    expect(await read("expanded")).toEqual(count(12, () => 12));
    expect(await read("scalar")).toEqual([23]);
    expect(source.tensors.get("scalar")!.shape).toEqual([]);
    expect(await read("parameter")).toEqual(count(6, (i) => i));
    expect(source.tensors.get("empty")!.shape).toEqual([0, 4]);
    expect(source.tensors.get("empty_storage")!.shape).toEqual([0, 3]);
    expect(await read("empty")).toEqual([]);
  });

  test("every element type", async () => {
    await using source = await openPytorch(fixture("types"));
    const bytes = await readFile(fixture("types"));
    const floats = { float64: "F64", float32: "F32", float16: "F16", bfloat16: "BF16" };
    for (const [name, dtype] of Object.entries(floats)) {
      expect(source.tensors.get(name)).toMatchObject({ dtype, shape: [3], strides: [1] });
      expect(Array.from(await readFloat32(source.tensors.get(name)!))).toEqual([0, 1, 100]);
    }
    const others = { int64: "I64", int32: "I32", int16: "I16", int8: "I8", uint8: "U8", bool: "BOOL" };
    const width = { I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 };
    for (const [name, dtype] of Object.entries(others)) {
      const tensor = source.tensors.get(name)!;
      expect(tensor).toMatchObject({ dtype, shape: [3] });
      const last = bytes[tensor.offset + 2 * width[dtype as keyof typeof width]];
      expect(last).toBe(dtype === "BOOL" ? 1 : 100);
    }
    expect(source.tensors.size).toBe(10);
  });

  test("a state dict next to an optimizer, options and numpy values, under a shared prefix", async () => {
    expect(await expectTower(fixture("deepspeed"))).toEqual({ global_steps: "12", ds_version: "0.14.0" });
  });

  test("a state dict in two wrappers and with two prefixes", async () => {
    expect(await expectTower(fixture("nested"))).toEqual({ epoch: "2" });
  });

  test.each([
    ["complex", "C64"],
    ["float8", "F8_E4M3"],
  ])("a tensor of %s, which a file may have unused", async (name, dtype) => {
    await using source = await openPytorch(fixture(name));
    expect(source.tensors.get("weight")).toMatchObject({ dtype });
  });

  test("a state dict in protocol 5", async () => {
    expect(await expectTower(fixture("protocol_5"))).toEqual({});
  });

  test("the weights of a TorchScript archive", async () => {
    await expectTower(fixture("script"));
  });

  test("an archive with ZIP64 sizes, as beyond 4 GB", async () => {
    const entries = checkpointEntries(tensorPickle(4, [3], [2]));
    await using source = await openPytorch(
      await scratch.write("64.pt", packArchive(entries, { isZip64: true })),
    );
    const { offset, ...tensor } = source.tensors.get("weight")!;
    expect(tensor).toMatchObject({ dtype: "U8", shape: [3], strides: [2] });
    expect((await readFile(source.path))[offset]).toBe(4);
  });

  test("model before module before state_dict", async () => {
    const weight = tensorPickle(0, [1], [1]).slice(2, -1);
    const wrapped = (key: string) => `X${String.fromCharCode(key.length)}\0\0\0${key}`;
    await using source = await open(`\x80\x02}(${wrapped("state_dict")}}${wrapped("model")}${weight}u.`);
    expect([...source.tensors.keys()]).toEqual(["weight"]);
  });
});

describe("a moving average of the weights", () => {
  const keyOf = (key: string) => `X${String.fromCharCode(key.length)}\0\0\0${key}`;
  const weight = (size: number) => tensorPickle(0, [size], [1]).slice(2, -1);
  /** The shape of the weight read from dictionaries whose weights have 1, 2, … elements. */
  const taken = async (choice: WeightsChoice, ...keys: string[]) => {
    const content = keys.map((key, i) => `${keyOf(key)}${weight(i + 1)}`).join("");
    const path = await scratch.write("ema.pt", packArchive(checkpointEntries(`\x80\x02}(${content}u.`)));
    await using source = await openTensors(path, choice);
    return source.tensors.get("weight")!.shape[0];
  };

  test.each(["model_ema", "state_dict_ema", "ema_state_dict"])("%s", async (ema) => {
    for (const model of ["model", "state_dict"]) {
      await expect(taken({}, model, ema)).rejects.toMatchObject({
        code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
        message: expect.stringContaining(`("${model}") and their exponential moving average ("${ema}")`),
      });
      expect(await taken({ ema: false }, model, ema)).toBe(1);
      expect(await taken({ ema: true }, model, ema)).toBe(2);
    }
    expect(await taken({}, ema)).toBe(1);
    await expect(taken({ ema: true }, "model")).rejects.toThrow(/no moving average/);
    await expect(taken({ ema: false }, ema)).rejects.toThrow(/only a moving average/);
  });
});

describe("damage", () => {
  const sound = join(FIXTURES, "eva02_b_fp16.pt");

  /** A copy with one bit flipped in the byte that `at` finds. */
  async function damaged(at: (bytes: Buffer) => number): Promise<string> {
    const bytes = await readFile(sound);
    bytes[at(bytes)]! ^= 1;
    return scratch.write("damaged.pt", bytes);
  }

  test("in a storage is detected by the check of its tensor, which names the entry", async () => {
    await using whole = await openPytorch(sound);
    const [name, { offset }] = [...whole.tensors].at(-1)!;
    await using source = await openPytorch(await damaged(() => offset));
    for (const [key, tensor] of source.tensors) {
      if (key !== name) await tensor.check!();
    }
    const message =
      /damaged\.pt is damaged: ".*\/data\/\d+" has the checksum [0-9a-f]{8}, expected [0-9a-f]{8}/;
    await expect(source.tensors.get(name)!.check!()).rejects.toEqual(failure("CORRUPT", message));
  });

  test("in the pickle is detected before it is parsed", async () => {
    const path = await damaged((bytes) => bytes.indexOf("visual.", 0, "latin1"));
    await expect(openPytorch(path)).rejects.toEqual(failure("CORRUPT", /data\.pkl" has the checksum/));
  });

  test("is not checked in an archive without checksums", async () => {
    await using source = await open(tensorPickle(0, [1], [1]));
    await source.tensors.get("weight")!.check!();
  });

  test("in several parts is detected", async () => {
    const data = Buffer.alloc(1_000_001, 7);
    const [description, , version] = checkpointEntries(tensorPickle(0, [1], [1], data.length));
    const write = (checksum: number) => {
      const entries = [description!, { name: "archive/data/0", data, checksum }, version!];
      return scratch.write("large.pt", packArchive(entries));
    };
    for (const [checksum, isSound] of [
      [crc32(data), true],
      [crc32(data.subarray(1)), false],
    ] as const) {
      await using source = await openPytorch(await write(checksum));
      const check = source.tensors.get("weight")!.check!();
      await (isSound ? check : expect(check).rejects.toEqual(failure("CORRUPT", /"archive\/data\/0"/)));
    }
  });
});

describe("openPytorch refuses", () => {
  test("malicious.pt, naming the call", async () => {
    await expect(openPytorch(join(FIXTURES, "malicious.pt"))).rejects.toEqual(
      failure("UNSAFE", /malicious\.pt asks for posix\.system, .* refused, nothing was run/),
    );
  });

  test.each<[string, RegExp]>([
    ["legacy", /format of PyTorch before version 1\.6/],
    ["negated", /"weight" of a negated or conjugated view/],
    ["sparse", /"weight" as an object of torch\._utils\._rebuild_sparse_tensor/],
    ["whole_list", /has a list at its root, expected a state dict/],
  ])("%s.pt as unsupported", async (name, message) => {
    await expect(openPytorch(fixture(name))).rejects.toEqual(failure("UNSUPPORTED", message));
  });

  const tar = Buffer.alloc(1024);
  tar.write("ustar", 257);
  test.each<[string, string | Buffer, string, RegExp]>([
    ["an empty file", "", "CORRUPT", /is empty/],
    [
      "a Git LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid",
      "UNSUPPORTED",
      /Git LFS pointer/,
    ],
    ["a web page", "\n<!DOCTYPE html><html>", "UNSUPPORTED", /is a web page/],
    ["the tar format", tar, "UNSUPPORTED", /is a tar archive/],
    ["a bare pickle", "\x80\x02}.", "UNSUPPORTED", /bare pickle/],
    ["a gzip file", "\x1f\x8b\x08", "UNSUPPORTED", /gzip/],
    ["text", "weights", "CORRUPT", /neither a PyTorch checkpoint.* begins with the bytes 77656967/],
    ["a ZIP of something else", packArchive([{ name: "a/b.txt", data: "x" }]), "UNSUPPORTED", /no data\.pkl/],
  ])("%s", async (_, bytes, kind, message) => {
    const content = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    await expect(openPytorch(await scratch.write("other.pt", content))).rejects.toEqual(
      failure(kind, message),
    );
  });

  test("a safetensors file, a folder, and a missing file", async () => {
    const safetensors = join(FIXTURES, "interpolate.safetensors");
    await expect(openPytorch(safetensors)).rejects.toEqual(failure("UNSUPPORTED", /is a safetensors file/));
    const io = expect.objectContaining({ code: "ERR_EVACLIP_IO" });
    await expect(openPytorch(FIXTURES)).rejects.toEqual(io);
    await expect(openPytorch(join(FIXTURES, "none.pt"))).rejects.toEqual(io);
  });

  test.each<[string, string, RegExp]>([
    [
      "a view past its storage",
      tensorPickle(10, [7], [1]),
      /"weight" \[7\] .* from element 10, outside .* 16/,
    ],
    ["strides past the storage", tensorPickle(0, [2, 2], [15, 2]), /outside its storage of 16 elements/],
    ["strides beyond counting", tensorPickle(0, [2 ** 52, 2], [2 ** 52, 1]), /outside its storage/],
    ["a storage larger than its entry", tensorPickle(0, [1], [1], 17), /storage of 17 bytes, expected 16/],
    [
      "a storage without an entry",
      tensorPickle(0, [1], [1]).replace("\x01\0\0\x000", "\x01\0\0\x001"),
      /no entry/,
    ],
    ["a checkpoint that ends early", tensorPickle(0, [1], [1]).slice(0, -1), /pickle that ends too early/],
  ])("%s", async (_, pickle, message) => {
    await expect(open(pickle)).rejects.toEqual(failure("CORRUPT", message));
  });

  test("an archive whose every entry is compressed, as zip makes them", async () => {
    await expect(openPytorch(join(FIXTURES, "models/compressed.pt"))).rejects.toEqual(
      failure("UNSUPPORTED", /compressed\.pt is a compressed archive .* zip -0 -D -r/),
    );
  });

  test.each(["archive/data.pkl", "archive/data/0"])("a compressed %s", async (name) => {
    const entries = checkpointEntries(tensorPickle(0, [1], [1]));
    const compressed = entries.map((entry) => (entry.name === name ? { ...entry, method: 8 } : entry));
    await expect(openPytorch(await scratch.write("deflated.pt", packArchive(compressed)))).rejects.toEqual(
      failure("UNSUPPORTED", new RegExp(`is a compressed archive \\("${name}"\\).* zip -0 -D -r`)),
    );
  });

  test("a tiny storage repeated beyond memory", async () => {
    await expect(open(tensorPickle(0, [2 ** 40], [0]))).rejects.toEqual(
      failure("UNSUPPORTED", /repeats a storage/),
    );
  });

  test("a state dict without tensors, and dictionaries that contain themselves", async () => {
    await expect(open("\x80\x02}X\x01\0\0\0aNs.")).rejects.toEqual(
      failure("UNSUPPORTED", /no tensors .* "a"/),
    );
    await expect(open("\x80\x02}q\0X\x05\0\0\0modelh\0s.")).rejects.toEqual(
      failure("UNSUPPORTED", /nests more than 8 dictionaries/),
    );
  });

  test("modules that multiply by sharing, and a module inside itself", async () => {
    const module = (attributes: string) => `c__torch__\nM\n)\x81}(${attributes}ub`;
    const named = (name: string, value: string) => `X\x01\0\0\0${name}${value}`;
    let modules = `${module("")}q\x01`;
    for (let i = 0; i < 40; i++) modules += `0${module(named("a", "h\x01") + named("b", "h\x01"))}q\x01`;
    for (const pickle of [
      `\x80\x02${modules}.`,
      `\x80\x02c__torch__\nM\n)\x81q\x01}(${named("a", "h\x01")}ub.`,
    ]) {
      const entries = [...checkpointEntries(pickle), { name: "archive/constants.pkl", data: "" }];
      await expect(openPytorch(await scratch.write("script.pt", packArchive(entries)))).rejects.toEqual(
        failure("CORRUPT", /modules nested more than 64 deep, or more than 100000/),
      );
    }
  });

  test("big-endian files, and unknown byte orders", async () => {
    const withOrder = (data: string) =>
      packArchive([...checkpointEntries(tensorPickle(0, [1], [1])), { name: "archive/byteorder", data }]);
    await expect(openPytorch(await scratch.write("big.pt", withOrder("big")))).rejects.toEqual(
      failure("UNSUPPORTED", /big-endian/),
    );
    await expect(openPytorch(await scratch.write("odd.pt", withOrder("middle")))).rejects.toEqual(
      failure("CORRUPT", /byte order "middle", expected "little"/),
    );
    await (await openPytorch(await scratch.write("little.pt", withOrder("little")))).close();
  });
});
