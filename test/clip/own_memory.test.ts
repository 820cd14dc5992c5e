import { readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { EvaClip } from "../../lib/clip/eva_clip";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, init: "fan_in" } as const;
const fixture = (name: string) => join(__dirname, "..", "fixtures", name);
const pictures = [fixture("image_rgb_tall.png"), fixture("image_gray.png"), fixture("image_rgb_wide.png")];
const PIXELS = 3 * 16 * 16;

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, options);
});
afterAll(() => model.dispose());

const noise = (length: number, seed = 1) => Uint8Array.from({ length }, (_, i) => (i * i * seed) % 251);

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThan(1e-5);
}

test("every vector that is returned has memory of its own", async () => {
  const images = await model.encodeImage(pictures);
  const texts = await model.encodeText(["cat", "dog", "x"]);
  const vectors = [
    ...images,
    ...texts,
    ...(await model.similarity(images, texts)),
    await model.encodeImage(pictures[0]!),
    await model.encodeText("cat"),
    await model.encodePixels(noise(2 * PIXELS), 2),
    await model.encodeTokens(Int32Array.of(30, 31), 1),
  ];
  for (const { buffer, byteLength } of vectors) expect(buffer.byteLength).toBe(byteLength);
  expect(new Set(vectors.map(({ buffer }) => buffer)).size).toBe(vectors.length);
  structuredClone(images[0], { transfer: [images[0]!.buffer as ArrayBuffer] });
  expect(images.map(({ length }) => length)).toEqual([0, 16, 16]);
});

test("pixels may be changed or transferred right after the call", async () => {
  for (const make of [(data: Uint8Array) => data.slice(), (data: Uint8Array) => Float32Array.from(data)]) {
    const expected = await model.encodePixels(make(noise(3 * PIXELS)), 3, { batchSize: 1 });
    const pixels = make(noise(3 * PIXELS));
    const call = model.encodePixels(pixels, 3, { batchSize: 1 });
    pixels.fill(7);
    expect(await call).toEqual(expected);
    const other = make(noise(3 * PIXELS));
    const second = model.encodePixels(other, 3, { batchSize: 1 });
    structuredClone(other, { transfer: [other.buffer as ArrayBuffer] });
    expect(await second).toEqual(expected);
  }
});

test("a resizable buffer may shrink right after the call; a detached one is refused", async () => {
  type Resizable = ArrayBuffer & { resize(length: number): void };
  const Buffers = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => Resizable;
  const buffer = new Buffers(PIXELS, { maxByteLength: PIXELS });
  const pixels = new Uint8Array(buffer);
  pixels.set(noise(PIXELS));
  const expected = await model.encodePixels(noise(PIXELS), 1);
  const call = model.encodePixels(pixels, 1);
  buffer.resize(8);
  expect(await call).toEqual(expected);
  await expect(model.encodePixels(pixels, 1)).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
  const gone = noise(PIXELS);
  structuredClone(gone, { transfer: [gone.buffer as ArrayBuffer] });
  await expect(model.encodePixels(gone, 1)).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
});

test("what is detached before the call is empty or refused with a code", async () => {
  const detached = <T extends Float32Array | Uint8Array>(data: T): T => {
    structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
    return data;
  };
  const bytes = detached(noise(40));
  const code = expect.stringMatching(/^ERR_EVACLIP_/);
  await expect(model.encodeImage(bytes)).rejects.toMatchObject({ code });
  await expect(model.encodeImage(bytes.buffer as ArrayBuffer)).rejects.toMatchObject({ code });
  const raw = { data: bytes, width: 4, height: 3, channels: 3 as const };
  await expect(model.encodeImage(raw)).rejects.toMatchObject({ code });
  const floats = detached(new Float32Array(16));
  await expect(model.similarity(floats, floats)).rejects.toMatchObject({ code });
  expect(await model.encodePixels(floats, 0)).toEqual(new Float32Array(0));
});

test("tokens, vectors, captions, labels and options may be changed right after the call", async () => {
  const expected = await model.encodeTokens(Int32Array.of(30, 5, 31, 30, 6, 31), 2);
  const tokens = Int32Array.of(30, 5, 31, 30, 6, 31);
  const own: { batchSize?: number; normalize?: boolean } = { batchSize: 1 };
  const encoded = model.encodeTokens(tokens, 2, own);
  tokens.fill(0);
  own.normalize = false;
  expectClose(await encoded, expected);

  const [a, b] = [Float32Array.from({ length: 16 }, (_, i) => i), new Float32Array(16).fill(1)];
  const list = [b];
  const products = model.similarity([a], list);
  a.fill(0);
  list.push(a);
  expect(await products).toEqual([Float32Array.of(120)]);

  const captions = ["cat", "dog", "x"];
  const texts = model.encodeText(captions, { batchSize: 1 });
  captions[2] = "dog";
  captions.length = 2;
  expectClose((await texts)[2]!, await model.encodeText("x"));
  expect(await texts).toHaveLength(3);

  const labels = ["cat", "dog"];
  const templates = ["a {}"];
  const classified = model.classify(pictures[0]!, labels, { templates });
  labels[0] = "changed";
  templates[0] = "changed";
  expect((await classified).map(({ label }) => label).sort()).toEqual(["cat", "dog"]);
});

test("images given as bytes, pixels, a pipeline or a list may be changed right after the call", async () => {
  const expected = await model.encodeImage(pictures[1]!);
  const bytes = await Promise.all([1, 2, 3].map(async () => new Uint8Array(await readFile(pictures[1]!))));
  const list = [...bytes];
  const call = model.encodeImage(list, { batchSize: 1 });
  for (const each of bytes) each.fill(0);
  list.length = 0;
  for (const row of await call) expectClose(row, expected);
  expect(await call).toHaveLength(3);

  const raw = (data: Uint8Array) => ({ data, width: 16, height: 16, channels: 3 as const });
  const wanted = await model.encodeImage(raw(noise(PIXELS)));
  const image = raw(noise(PIXELS));
  const two = model.encodeImage([image, image], { batchSize: 1 });
  image.data.fill(9);
  for (const row of await two) expectClose(row, wanted);

  const pipeline = sharp(pictures[0]!);
  const plain = await model.encodeImage(pictures[0]!);
  const piped = model.encodeImage([pictures[0]!, pipeline], { batchSize: 1 });
  pipeline.negate();
  expectClose((await piped)[1]!, plain);
});

test("shared memory is accepted, and copied", async () => {
  const shared = <T extends Uint8Array | Float32Array | Int32Array>(data: T): T => {
    const view = new (data.constructor as new (buffer: SharedArrayBuffer) => T)(
      new SharedArrayBuffer(data.byteLength),
    );
    view.set(data);
    return view;
  };
  const floats = Float32Array.from(noise(PIXELS));
  expect(await model.encodePixels(shared(noise(PIXELS)), 1)).toEqual(
    await model.encodePixels(noise(PIXELS), 1),
  );
  expect(await model.encodePixels(shared(floats), 1)).toEqual(await model.encodePixels(floats, 1));
  const ids = Int32Array.of(30, 5, 31);
  expect(await model.encodeTokens(shared(ids), 1)).toEqual(await model.encodeTokens(ids, 1));
  const vector = new Float32Array(16).fill(0.5);
  expect(await model.similarity(shared(vector), vector)).toBe(4);
  const file = shared(new Uint8Array(await readFile(pictures[0]!)));
  expectClose(await model.encodeImage(file), await model.encodeImage(pictures[0]!));
  expectClose(await model.encodeImage(file.buffer as never), await model.encodeImage(pictures[0]!));
});

test("several samples of more bytes than are copied are refused", async () => {
  const batch = Math.ceil((64 * 2 ** 20 + 1) / PIXELS);
  await expect(model.encodePixels(new Uint8Array(batch * PIXELS), batch)).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringMatching(/at most 64 MiB, found 64\.\d MiB: give about \d+ in a call/),
  });
});

test("memoryInfo counts what is held, padding included", async () => {
  const config = { ...tinyConfig, vision_cfg: { ...tinyConfig.vision_cfg, mlp_ratio: 2.6667 } };
  await using padded = await EvaClip.create(config as typeof tinyConfig, options);
  const parameters = padded.model.parameters();
  const sizeOf = (shape: readonly number[]) => shape.reduce((size, dim) => size * dim, 1);
  const held = parameters.reduce((sum, { storedShape }) => sum + 4 * sizeOf(storedShape), 0);
  expect(held).toBeGreaterThan(parameters.reduce((sum, { size }) => sum + 4 * size, 0));
  expect((await padded.memoryInfo()).parameterBytes).toBe(held);
});
