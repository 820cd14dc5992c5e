import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeImage } from "../../lib/image/decode";
import { preprocess } from "../../lib/image/prepare";
import { Device } from "../../lib/device";
import { batchParts } from "../../lib/clip/in_parts";
import { EvaClip } from "../../lib/clip/eva_clip";
import { START, tinyConfig, tinyTokenizer } from "../support/tiny_clip";

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, init: "fan_in" } as const;
const pictures = ["image_rgb_tall.png", "image_gray.png", "image_rgb_wide.png"].map((name) =>
  join(__dirname, "..", "fixtures", name),
);

let model: EvaClip;
let folder: string;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, { ...options, seed: 4 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-serve-"));
});
afterAll(async () => {
  await model.dispose();
  await rm(folder, { recursive: true });
});

const norm = (vector: Float32Array) => Math.hypot(...vector);
function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThan(tolerance);
}

test("knows what it is", async () => {
  expect(model).toMatchObject({
    device: "cpu",
    precision: "f32",
    embedDim: 16,
    imageSize: 16,
    contextLength: 8,
    fallbackReason: undefined,
  });
  const parameters = model.model.parameters().reduce((sum, { size }) => sum + size, 0);
  expect((await model.memoryInfo()).parameterBytes).toBe(4 * parameters);
});

test("one image, several, a buffer and ready pixels give the same embedding of unit length", async () => {
  const picture = pictures[0]!;
  const one = await model.encodeImage(picture);
  expect(norm(one)).toBeCloseTo(1, 5);
  const [again] = await model.encodeImage(pictures);
  expectClose(again!, one);
  expectClose(await model.encodeImage(await readFile(picture)), one);
  expectClose(await model.encodePixels(await preprocess(picture, 16), 1), one);
  expectClose(await model.encodePixels(await decodeImage(picture, 16), 1), one);
});

test("text and tokens agree, a caption does not depend on the others, and the embedding without normalization is parallel", async () => {
  const captions = ["cat", "a dog here", "x"];
  const rows = await model.encodeText(captions);
  const tokens = new Int32Array(3 * 8);
  captions.forEach((text, i) => tokens.set(tinyTokenizer.encode(text, 8), i * 8));
  const fromTokens = await model.encodeTokens(tokens, 3);
  for (const [i, row] of rows.entries()) {
    expectClose(fromTokens.subarray(i * 16, (i + 1) * 16), row);
    expectClose(await model.encodeText(captions[i]!), row);
    const raw = await model.encodeText(captions[i]!, { normalize: false });
    expectClose(
      raw.map((value) => value / norm(raw)),
      row,
    );
  }
});

test("calls that overlap, in batches of any size, give what single calls give", async () => {
  const captions = Array.from({ length: 41 }, (_, i) => `word ${i}`);
  const single = await Promise.all(captions.map((caption) => model.encodeText(caption)));
  const [whole, parts] = await Promise.all([
    model.encodeText(captions),
    model.encodeText(captions, { batchSize: 5 }),
  ]);
  single.forEach((row, i) => {
    expectClose(whole[i]!, row);
    expectClose(parts[i]!, row);
  });
});

test("batches are powers of two up to the largest", () => {
  expect(batchParts(41)).toEqual([32, 8, 1]);
  expect(batchParts(70)).toEqual([32, 32, 4, 2]);
  expect(batchParts(11, 5)).toEqual([5, 4, 2]);
  expect(batchParts(0)).toEqual([]);
});

test("similarity of two vectors is a number, of lists a row each", async () => {
  const [a, b] = await model.encodeImage(pictures.slice(0, 2));
  const cosine = a!.reduce((sum, value, i) => sum + value * b![i]!, 0);
  expect(await model.similarity(a!, b!)).toBeCloseTo(cosine, 5);
  const rows = await model.similarity([a!, b!], [b!, a!, b!]);
  expectClose(rows[0]!, [cosine, 1, cosine]);
  expectClose(rows[1]!, [1, cosine, 1]);
  await expect(model.similarity(a!, new Float32Array(3))).rejects.toMatchObject({
    code: "ERR_EVACLIP_SHAPE",
  });
});

test("classification: shares that add up, best first", async () => {
  const labels = ["cat", "dog", "fish", "bird"];
  const found = await model.classify(pictures[0]!, labels, { topK: 4, templates: ["a {}", "the {}"] });
  expect(found.map(({ label }) => label).sort()).toEqual([...labels].sort());
  expect(found.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 6);
  expect([...found].sort((a, b) => b.similarity - a.similarity)).toEqual(found);
  expect(await model.classify(pictures, labels, { topK: 1 })).toHaveLength(3);
  await expect(model.classify(pictures[0]!, [])).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
  });
});

test("save and load give the same embeddings; bf16 gives nearly the same", async () => {
  const directory = join(folder, "saved");
  await model.save(directory);
  expect((await readdir(directory)).sort()).toEqual(["config.json", "model.safetensors"]);
  const expected = await model.encodeImage(pictures[0]!);
  await using loaded = await EvaClip.load(directory, options);
  expect(await loaded.encodeImage(pictures[0]!)).toEqual(expected);
  await using file = await EvaClip.load(join(directory, "model.safetensors"), {
    ...options,
    config: tinyConfig,
  });
  expect(await file.encodeImage(pictures[0]!)).toEqual(expected);
  await using half = await EvaClip.load(directory, { ...options, precision: "bf16" });
  expect(half.precision).toBe("bf16");
  expectClose(await half.encodeImage(pictures[0]!), expected, 0.05);
  expectClose(await half.encodeText("a cat"), await model.encodeText("a cat"), 0.05);
});

test("save takes a layout, a dtype and a signal, and gives the paths", async () => {
  const directory = join(folder, "saved_open_clip");
  const files = await model.save(directory, { layout: "open_clip", dtype: "bf16" });
  expect(files[0]).toBe(join(directory, "open_clip_model.safetensors"));
  await using loaded = await EvaClip.load(directory, { ...options, config: tinyConfig });
  expectClose(await loaded.encodeImage(pictures[0]!), await model.encodeImage(pictures[0]!), 0.05);
  const refused = { code: "ERR_EVACLIP_INVALID_ARGUMENT" };
  await expect(model.save(directory, { layout: "zip" as never })).rejects.toMatchObject(refused);
  await expect(model.save(directory, { dtype: "f64" as never })).rejects.toMatchObject(refused);
  const reason = new Error("no longer wanted");
  await expect(model.save(directory, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test("the seed chooses the weights", async () => {
  const embedding = async (seed: number) => {
    await using other = await EvaClip.create(tinyConfig, { ...options, seed });
    return other.encodeText("cat");
  };
  expect(await embedding(4)).toEqual(await model.encodeText("cat"));
  expect(await embedding(5)).not.toEqual(await embedding(4));
});

test("a device that was open stays open", async () => {
  await using device = await Device.open("cpu", { threads: 1 });
  const other = await EvaClip.create(tinyConfig, { ...options, device });
  await other.dispose();
  await using next = await EvaClip.create(tinyConfig, { ...options, device });
  expect(await next.encodeText("cat")).toHaveLength(16);
});

describe("errors", () => {
  const code = (wanted: string) => expect.objectContaining({ code: wanted });

  test.each([
    ["too few pixels", () => model.encodePixels(new Float32Array(5), 1), "ERR_EVACLIP_SHAPE"],
    [
      "pixels of another type",
      () => model.encodePixels(new Int32Array(768) as never, 1),
      "ERR_EVACLIP_SHAPE",
    ],
    ["a batch size of 0", () => model.encodeText(["a"], { batchSize: 0 }), "ERR_EVACLIP_INVALID_ARGUMENT"],
    ["tokens without an end", () => model.encodeTokens(new Int32Array(8), 1), "ERR_EVACLIP_INVALID_ARGUMENT"],
    ["a missing image", () => model.encodeImage("nowhere.png"), "ERR_EVACLIP_DATA"],
    ["a missing path", () => EvaClip.load(join(__dirname, "nowhere")), "ERR_EVACLIP_IO"],
    ["a folder without a model", () => EvaClip.load(__dirname), "ERR_EVACLIP_IO"],
    ["an unknown name", () => EvaClip.create("EVA-99", options), "ERR_EVACLIP_UNKNOWN_MODEL"],
    [
      "an unknown type",
      () => EvaClip.create(tinyConfig, { ...options, precision: "f16" as never }),
      "ERR_EVACLIP_INVALID_ARGUMENT",
    ],
    ["no CUDA", () => EvaClip.create(tinyConfig, { ...options, device: "cuda" }), "ERR_EVACLIP_NO_DEVICE"],
  ])("%s", async (_, call, wanted) => {
    await expect(call()).rejects.toThrow(code(wanted));
  });

  test("a truncated image names itself", async () => {
    const cut = (await readFile(pictures[0]!)).subarray(0, 900);
    const path = join(folder, "cut.png");
    await writeFile(path, cut);
    await expect(model.encodeImage(path)).rejects.toThrow("cut.png");
  });

  test("a tokenizer with more ids than the model knows", async () => {
    await using other = await EvaClip.create(tinyConfig, { device: "cpu", threads: 1 });
    await expect(other.encodeText("cat")).rejects.toThrow("pass the model's own tokenizer");
  });

  test("a bare file needs a configuration", async () => {
    const directory = join(folder, "bare");
    await model.save(directory);
    await rm(join(directory, "config.json"));
    await expect(EvaClip.load(directory, options)).rejects.toThrow(code("ERR_EVACLIP_INVALID_CONFIG"));
  });

  test("an aborted signal rejects with its reason", async () => {
    const reason = new Error("no longer wanted");
    const signal = AbortSignal.abort(reason);
    await expect(model.encodeText("cat", { signal })).rejects.toBe(reason);
    await expect(model.classify(pictures[0]!, ["a"], { signal })).rejects.toBe(reason);
    await expect(EvaClip.load(folder, { signal })).rejects.toBe(reason);
    const controller = new AbortController();
    const encoding = model.encodeText(
      Array.from({ length: 64 }, () => "cat"),
      { batchSize: 1, signal: controller.signal },
    );
    const rejected = expect(encoding).rejects.toBe(reason);
    await model.encodeText("dog"); // runs between two of the 64 batches
    controller.abort(reason);
    await rejected;
  });

  test("dispose waits for what is under way, is idempotent, and ends everything else", async () => {
    const other = await EvaClip.create(tinyConfig, options);
    const underWay = other.encodeTokens(Int32Array.of(START, 31), 1);
    await Promise.all([other.dispose(), other.dispose()]);
    expect(await underWay).toHaveLength(16);
    await expect(other.encodeText("cat")).rejects.toThrow(code("ERR_EVACLIP_DISPOSED"));
  });
});
