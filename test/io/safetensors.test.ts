import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../lib/io/safetensors";
import { type FloatDtype, TENSOR_ARRAYS } from "../../lib/io/tensor_source";
import { eventLoopHeldMs } from "../support/event_loop";

let directory: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "safetensors-"));
});
afterEach(async () => {
  jest.restoreAllMocks();
  await fs.rm(directory, { recursive: true });
});

async function writeRaw(header: string | object, data: Uint8Array, headerLength?: number): Promise<string> {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerLength ?? json.length));
  const path = join(directory, "raw.safetensors");
  await fs.writeFile(path, Buffer.concat([length, json, data]));
  return path;
}

const corrupt = (message: RegExp) =>
  expect.objectContaining({
    code: "ERR_EVACLIP_CHECKPOINT_CORRUPT",
    message: expect.stringMatching(message),
  });

const every: TensorToWrite[] = [
  { name: "b.u8", dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 255) },
  {
    name: "a.f32",
    dtype: "F32",
    shape: [2, 2],
    data: Float32Array.of(1.5, -2, 3e-40, Number.POSITIVE_INFINITY),
  },
  { name: "c.bf16", dtype: "BF16", shape: [1, 2], data: Uint16Array.of(0x3f80, 0xffff) },
  { name: "d.f16", dtype: "F16", shape: [1], data: Uint16Array.of(0x3c00) },
  { name: "e.i64", dtype: "I64", shape: [], data: BigInt64Array.of(-5n) },
  { name: "f.i32", dtype: "I32", shape: [1], data: () => Promise.resolve(Int32Array.of(-7)) },
  { name: "g.empty", dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
  { name: "h.f64", dtype: "F64", shape: [2], data: Float64Array.of(Math.PI, -1e-310) },
  { name: "i.i16", dtype: "I16", shape: [1], data: Int16Array.of(-300) },
  { name: "j.i8", dtype: "I8", shape: [2], data: Int8Array.of(-128, 127) },
  { name: "k.bool", dtype: "BOOL", shape: [2], data: Uint8Array.of(0, 1) },
];

describe("writeSafetensors and openSafetensors", () => {
  test("give back every dtype, shape and metadata", async () => {
    const path = join(directory, "every.safetensors");
    await writeSafetensors(path, every, { note: "naïve" });
    await using file = await openSafetensors(path);
    expect(file.metadata).toEqual({ note: "naïve" });
    expect(file.tensors.size).toBe(every.length);
    for (const { name, dtype, shape, data } of every) {
      expect(file.tensors.get(name)).toMatchObject({ dtype, shape });
      expect(await file.read(name)).toEqual(typeof data === "function" ? await data() : data);
    }
    expect(await fs.readdir(directory)).toEqual(["every.safetensors"]);
  });

  test("align every tensor to its own type, whatever the order given", async () => {
    const path = join(directory, "every.safetensors");
    await writeSafetensors(path, every);
    const bytes = await fs.readFile(path);
    const file = await openSafetensors(path);
    for (const { dtype, offset } of file.tensors.values()) {
      expect(offset % TENSOR_ARRAYS[dtype].BYTES_PER_ELEMENT).toBe(0);
    }
    await file.close();
    await writeSafetensors(join(directory, "again.safetensors"), [...every].reverse());
    expect(await fs.readFile(join(directory, "again.safetensors"))).toEqual(bytes);
  });

  test.each([
    [null, {}],
    [
      { format: null, step: 3, note: "x" },
      { step: "3", note: "x" },
    ],
  ])("metadata %j, as other writers write it", async (metadata, expected) => {
    const path = await writeRaw({ __metadata__: metadata }, new Uint8Array(0));
    await using file = await openSafetensors(path);
    expect(file.metadata).toEqual(expected);
  });

  test.each([
    ["F8_E4M3", 16, 16],
    ["F8_E5M2", 16, 16],
    ["F8_E8M0", 16, 16],
    ["F6_E2M3", 8, 6],
    ["F4", 8, 4],
    ["U16", 4, 8],
    ["U32", 4, 16],
    ["U64", 2, 16],
    ["C64", 2, 16],
  ])("a tensor of %s is listed, unused", async (dtype, size, bytes) => {
    const path = await writeRaw(
      { w: { dtype, shape: [size], data_offsets: [0, bytes] } },
      new Uint8Array(bytes),
    );
    await using file = await openSafetensors(path);
    expect(file.tensors.get("w")).toMatchObject({ dtype, shape: [size] });
    expect((await file.read("w")).byteLength).toBe(bytes);
  });

  test("read a file written by the reference library", async () => {
    await using file = await openSafetensors(join(__dirname, "../fixtures/preprocess_64.safetensors"));
    expect([...file.tensors.keys()]).toEqual(["rgb_wide", "rgb_tall", "gray", "upscale"]);
    expect((await file.read("gray")).length).toBe(3 * 64 * 64);
    await expect(file.read("color")).rejects.toEqual(corrupt(/has no tensor "color"/));
  });
});

describe("openSafetensors refuses", () => {
  const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const data = new Uint8Array(16);

  test.each<[string, string | object, RegExp]>([
    [
      "a range outside the data",
      { w: f32(0, 16), x: f32(16, 20) },
      /"x": its bytes 16 to 20 are outside the 16/,
    ],
    ["a reversed range", { w: f32(8, 0, [2]) }, /"w": its bytes 8 to 0/],
    ["overlapping tensors", { w: f32(0, 12), x: f32(8, 16) }, /"x": overlaps the tensor before it/],
    ["a gap", { w: f32(0, 4), x: f32(8, 16) }, /"x": leaves a gap/],
    ["data of no tensor", { w: f32(0, 12) }, /16 bytes of data, but its tensors cover 12/],
    [
      "a shape that does not fit its range",
      { w: f32(0, 16, [3]) },
      /"w": F32 \[3\] needs 12 bytes, found a range of 16/,
    ],
    ["a shape that overflows", { w: f32(0, 16, [2 ** 40, 2 ** 40]) }, /"w": F32/],
    ["a negative size", { w: f32(0, 16, [-4]) }, /"w": expected a list of sizes/],
    [
      "a dtype that the format does not know",
      { w: { dtype: "Q4_K", shape: [16], data_offsets: [0, 16] } },
      /"w": expected a dtype of F64, F32, .*, found "Q4_K"/,
    ],
    [
      "elements that do not fill their last byte",
      { w: { dtype: "F4", shape: [31], data_offsets: [0, 16] } },
      /"w": F4 \[31\] needs 15\.5 bytes, found a range of 16/,
    ],
    ["no dtype", { w: { shape: [4], data_offsets: [0, 16] } }, /expected a dtype.*found none/],
    [
      "a dtype of the prototype",
      { w: { dtype: "toString", shape: [], data_offsets: [0, 16] } },
      /expected a dtype/,
    ],
    ["a missing range", { w: { dtype: "F32", shape: [4] } }, /"w": expected data_offsets/],
    ["an entry that is not an object", { w: 3 }, /"w": expected an object/],
    ["metadata that is not a map", { __metadata__: ["a"], w: f32(0, 16) }, /__metadata__/],
    ["a header that is not JSON", "{ nonsense", /is a broken safetensors file: .* not JSON/],
    ["a header that is a list", "[]", /not an object/],
  ])("%s", async (_, header, message) => {
    const path = await writeRaw(header, data);
    await expect(openSafetensors(path)).rejects.toEqual(corrupt(message));
  });

  test("a header longer than the file", async () => {
    const path = await writeRaw({ w: f32(0, 16) }, data, 1_000_000);
    await expect(openSafetensors(path)).rejects.toEqual(
      corrupt(/header of 1000000 bytes is longer than the file of/),
    );
  });

  test("a truncated file, an empty file and a missing file", async () => {
    const path = join(directory, "cut.safetensors");
    await writeSafetensors(path, every);
    await fs.truncate(path, (await fs.stat(path)).size - 1);
    await expect(openSafetensors(path)).rejects.toEqual(corrupt(/outside the/));
    await fs.truncate(path, 0);
    await expect(openSafetensors(path)).rejects.toEqual(corrupt(/0 bytes long/));
    const missing = openSafetensors(join(directory, "none"));
    await expect(missing).rejects.toMatchObject({
      code: "ERR_EVACLIP_IO",
      message: expect.stringMatching(/none/),
    });
  });
});

describe("writeSafetensors", () => {
  test.each([
    ["ENOSPC", "ERR_EVACLIP_DISK_FULL", /no space left/],
    ["EIO", "ERR_EVACLIP_IO", /cannot write/],
  ])("leaves the old file and nothing else behind after %s", async (errno, code, message) => {
    const path = join(directory, "model.safetensors");
    await writeSafetensors(path, every);
    const before = await fs.readFile(path);
    const handle = await fs.open(path);
    const prototype = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const write = prototype.write as (
      ...args: unknown[]
    ) => Promise<{ bytesWritten: number; buffer: string }>;
    let writes = 0;
    jest.spyOn(prototype, "write").mockImplementation(function (this: typeof handle, ...args: unknown[]) {
      if (++writes > 3) return Promise.reject(Object.assign(new Error(errno), { code: errno }));
      return write.apply(this, args);
    });
    const failed = writeSafetensors(path, every, { new: "file" });
    await expect(failed).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(await fs.readdir(directory)).toEqual(["model.safetensors"]);
    expect(await fs.readFile(path)).toEqual(before);
  });

  test.each<[FloatDtype, number[]]>([
    ["F16", [0x3c00, 0x3c00, 0x3c02, 0x7bff, 0x7c00, 0xfc00, 0x0001, 0x8000, 0x7e00]],
    ["BF16", [0x3f80, 0x3f80, 0x3f80, 0x4780, 0x7f80, 0xff80, 0x33a0, 0xb2c0, 0x7fc0]],
  ])("rounds f32 to %s", async (dtype, bits) => {
    const ties = [1 + 2 ** -11, 1 + 3 * 2 ** -11];
    const subnormals = [1.25 * 2 ** -24, -1.5 * 2 ** -26];
    const infinities = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const data = Float32Array.of(1, ...ties, 65519, ...infinities, ...subnormals, Number.NaN);
    const path = join(directory, "rounded.safetensors");
    await writeSafetensors(path, [{ name: "w", dtype, from: "F32", shape: [3, 3], data }]);
    await using file = await openSafetensors(path);
    expect(file.tensors.get("w")).toMatchObject({ dtype, shape: [3, 3] });
    const found = [...(await file.read("w"))].map((word) => (word as number).toString(16));
    expect(found).toEqual(bits.map((word) => word.toString(16)));
  });

  test.each<[FloatDtype, FloatDtype, ArrayBufferView, number, number]>([
    ["F32", "F16", Float32Array.of(1, Number.POSITIVE_INFINITY, 65520), 65520, 2],
    ["F32", "F16", new Float32Array(300_000).fill(-1e9, 299_999), -1e9, 299_999],
    ["F64", "F16", Float64Array.of(1e300), 1e300, 0],
    ["BF16", "F16", Uint16Array.of(0xc780), -65536, 0],
    ["F32", "BF16", Float32Array.of(3.4e38), Math.fround(3.4e38), 0],
    ["F64", "F32", Float64Array.of(0, -1e39), -1e39, 1],
  ])("a finite %s that overflows %s is an error", async (from, dtype, data, value, index) => {
    const shape = [(data as Float32Array).length];
    const failed = writeSafetensors(join(directory, "x"), [{ name: "w", dtype, from, shape, data }]);
    await expect(failed).rejects.toMatchObject({
      code: "ERR_EVACLIP_NOT_FINITE",
      message: expect.stringContaining(`tensor "w": the value ${value} at index ${index} would be infinite`),
      details: { index, value, type: dtype },
    });
    expect(await fs.readdir(directory)).toEqual([]);
  });

  test("converts a large tensor completely, without blocking the event loop", async () => {
    const data = new Float32Array((1 << 22) + 3).fill(1);
    data[data.length - 1] = -2;
    const path = join(directory, "large.safetensors");
    const tensors: TensorToWrite[] = [{ name: "w", dtype: "F16", from: "F32", shape: [data.length], data }];
    expect(await eventLoopHeldMs(20, () => writeSafetensors(path, tensors))).toBeLessThan(20);
    await using file = await openSafetensors(path);
    const words = (await file.read("w")) as Uint16Array;
    expect([words.length, words[0], words.at(-2), words.at(-1)]).toEqual([
      data.length,
      0x3c00,
      0x3c00,
      0xc000,
    ]);
    expect(words.subarray(0, -1).every((word) => word === 0x3c00)).toBe(true);
  });

  test("does not convert integers", async () => {
    const tensor: TensorToWrite = {
      name: "w",
      dtype: "I32",
      from: "F32",
      shape: [1],
      data: Float32Array.of(1),
    };
    const failed = writeSafetensors(join(directory, "x"), [tensor]);
    await expect(failed).rejects.toThrow(/"w": F32 cannot be stored as I32/);
    expect(await fs.readdir(directory)).toEqual([]);
  });

  test("refuses duplicate names and data that does not fill its shape", async () => {
    const path = join(directory, "bad.safetensors");
    const one: TensorToWrite = { name: "w", dtype: "F32", shape: [1], data: new Float32Array(1) };
    await expect(writeSafetensors(path, [one, one])).rejects.toThrow(/"w" is a duplicate/);
    await expect(writeSafetensors(path, [{ ...one, shape: [2] }])).rejects.toThrow(
      /expected 8 bytes.*found 4/,
    );
    expect(await fs.readdir(directory)).toEqual([]);
  });

  test("passes on an error thrown while tensors are read", async () => {
    const failure = new Error("device lost");
    const tensor: TensorToWrite = {
      name: "w",
      dtype: "F32",
      shape: [1],
      data: () => Promise.reject(failure),
    };
    await expect(writeSafetensors(join(directory, "x"), [tensor])).rejects.toBe(failure);
    expect(await fs.readdir(directory)).toEqual([]);
  });
});
