import { indexedDataset } from "../../lib/data/sources/indexed_dataset";
import { SampleError } from "../../lib/sample_error";
import type { Encoder } from "../../lib/clip/encoder";
import { evaluateRetrieval } from "../../lib/eval/retrieval";
import { zeroShotWeights } from "../../lib/clip/zero_shot_weights";
import { evaluateZeroShot } from "../../lib/eval/zero_shot";

const COLORS: Record<string, number[]> = { red: [1, 0, 0], green: [0, 1, 0], blue: [0, 0, 1] };

/** Images by their color; prompts by the color they name, long ones with a share of red. */
const encoder: Encoder = {
  embedDim: 3,
  imageSize: 4,
  description: "a test",
  encodePixels: async (pixels, batch) =>
    Float32Array.from({ length: batch * 3 }, (_, i) => pixels[Math.floor(i / 3) * 48 + (i % 3)]! / 255),
  encodeText: async (captions) =>
    captions.map((text) => {
      const name = Object.keys(COLORS).find((color) => text.includes(color))!;
      const [r, g, b] = COLORS[name]!;
      return Float32Array.of(r! + (text.startsWith("long") ? 0.5 : 0), g!, b!);
    }),
  products: async (a, b) => {
    const m = b.length / 3;
    return Float32Array.from({ length: (a.length / 3) * m }, (_, at) =>
      [0, 1, 2].reduce((sum, k) => sum + a[Math.floor(at / m) * 3 + k]! * b[(at % m) * 3 + k]!, 0),
    );
  },
};

const dataset = (labels: (number | undefined)[]) =>
  indexedDataset({
    size: labels.length,
    classes: ["red", "green", "blue"],
    at: (i) => ({
      key: String(i),
      ...(labels[i] !== undefined && { label: labels[i] }),
      read: async () => {
        const color = Object.values(COLORS)[i % 3]!;
        const data = Uint8Array.from({ length: 48 }, (_, at) => 255 * color[at % 3]!);
        return { image: { data, width: 4, height: 4, channels: 3 }, captions: ["x"] };
      },
    }),
  });

test("a class is the normalized mean of its prompts", async () => {
  const weights = await zeroShotWeights(encoder, ["red", "green"], ["a {}", "long {}"]);
  expect(Array.from(weights.subarray(0, 3))).toEqual([1, 0, 0]);
  const length = Math.hypot(0.25, 1);
  expect(weights[3]).toBeCloseTo(0.25 / length, 6);
  expect(weights[4]).toBeCloseTo(1 / length, 6);
});

test("top-1 and top-5 with the protocol that made them", async () => {
  const found: (number | undefined)[][] = [];
  const onProgress = (...progress: (number | undefined)[]) => found.push(progress);
  const options = { templates: ["a {}"], batchSize: 2, onProgress };
  const result = await evaluateZeroShot(encoder, dataset([0, 1, 1]), options);
  expect(result).toMatchObject({ images: 3, classes: 3, top1: 2 / 3, top5: 1, chance: 1 / 3, skipped: 0 });
  expect(result.protocol).toMatch(/3 classes, 1 prompts per class.*4 \(bicubic.*a test/);
  expect(found).toEqual([
    [2, 3],
    [3, 3],
  ]);
});

test.each(["throws", "rejects"])("an onProgress that %s ends the evaluation", async (how) => {
  const onProgress = () => {
    if (how === "throws") throw new RangeError("mine");
    return Promise.reject(new RangeError("mine"));
  };
  for (const run of [evaluateZeroShot, evaluateRetrieval]) {
    await expect(run(encoder, dataset([0, 1]), { onProgress })).rejects.toThrow(new RangeError("mine"));
  }
});

const flat = (value: number): Encoder => ({
  ...encoder,
  products: async (a, b) => new Float32Array((a.length * b.length) / 9).fill(value),
});

test("a model that scores everything the same is given what guessing gives, whatever the labels", async () => {
  for (const labels of [
    [0, 0, 0, 0],
    [2, 2, 2],
    [0, 1, 2],
  ]) {
    const result = await evaluateZeroShot(flat(0.25), dataset(labels), { templates: ["a {}"] });
    expect(result.top1).toBeCloseTo(result.chance, 12);
    expect(result.top5).toBe(1);
  }
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  "a score of %p is an error",
  async (value) => {
    await expect(
      evaluateZeroShot(flat(value), dataset([0, 1]), { templates: ["a {}"] }),
    ).rejects.toMatchObject({
      code: "ERR_EVACLIP_NOT_FINITE",
    });
  },
);

test("prompts that are not finite or cancel out are an error that names them or the class", async () => {
  const broken = (rows: Float32Array[]): Encoder => ({ ...encoder, encodeText: async () => rows });
  const weights = (rows: number[][]) =>
    zeroShotWeights(broken(rows.map((row) => Float32Array.from(row))), ["red"], ["a {}", "the {}"]);
  for (const rows of [
    [
      [1, 0, 0],
      [-1, 0, 0],
    ],
    [
      [Number.NaN, 0, 0],
      [1, 0, 0],
    ],
  ]) {
    await expect(weights(rows)).rejects.toMatchObject({
      code: "ERR_EVACLIP_NOT_FINITE",
      message: expect.stringContaining('red"'),
    });
  }
});

test.each<[string, unknown, string]>([
  ["fewer rows than captions", [], "found an array of 0"],
  ["one matrix", new Float32Array(6), "found Float32Array of 6"],
  ["rows that are too short", [new Float32Array(2), new Float32Array(2)], "found Float32Array of 2"],
  [
    "rows of another type",
    [
      [1, 0, 0],
      [1, 0, 0],
    ],
    "found an array of 3",
  ],
  ["no rows", undefined, "found undefined"],
])("an encoder that gives %s for captions is an error", async (_, rows, found) => {
  const broken = { ...encoder, encodeText: async () => rows as Float32Array[] };
  await expect(zeroShotWeights(broken, ["red"], ["a {}", "the {}"])).rejects.toMatchObject({
    code: "ERR_EVACLIP_SHAPE",
    message: expect.stringContaining(found),
  });
});

const broken = () =>
  indexedDataset({
    size: 4,
    classes: ["red", "green", "blue"],
    at: (i) => ({
      key: String(i),
      label: 0,
      read: () => Promise.reject(new SampleError("missing_file", "gone")),
    }),
  });

const evaluate = (options: unknown) => evaluateZeroShot(encoder, dataset([0, 1]), options as never);

test.each<[string, () => Promise<unknown>, string]>([
  [
    "a sample without a class",
    () => evaluateZeroShot(encoder, dataset([0, undefined, 1])),
    "ERR_EVACLIP_DATA",
  ],
  ["a label below 0", () => evaluateZeroShot(encoder, dataset([0, -1])), "ERR_EVACLIP_DATA"],
  ["a label that is no index", () => evaluateZeroShot(encoder, dataset([0.5])), "ERR_EVACLIP_DATA"],
  ["a label of NaN", () => evaluateZeroShot(encoder, dataset([Number.NaN])), "ERR_EVACLIP_DATA"],
  ["a label beyond the classes", () => evaluateZeroShot(encoder, dataset([3])), "ERR_EVACLIP_DATA"],
  ["no image left to score", () => evaluateZeroShot(encoder, broken()), "ERR_EVACLIP_DATA"],
  ["no classes", () => evaluate({ classes: [] }), "ERR_EVACLIP_INVALID_ARGUMENT"],
  ["fewer names than classes", () => evaluate({ classes: ["a"] }), "ERR_EVACLIP_INVALID_ARGUMENT"],
  ["a template without a place", () => evaluate({ templates: ["a"] }), "ERR_EVACLIP_INVALID_ARGUMENT"],
  ["a template as a string", () => evaluate({ templates: "a {}" }), "ERR_EVACLIP_INVALID_ARGUMENT"],
  [
    "a template that is a function",
    () => evaluate({ templates: [() => "a"] }),
    "ERR_EVACLIP_INVALID_ARGUMENT",
  ],
  ["classes as a Set", () => evaluate({ classes: new Set(["a"]) }), "ERR_EVACLIP_INVALID_ARGUMENT"],
  ["classes of no end", () => evaluate({ classes: new Array(2 ** 32 - 1) }), "ERR_EVACLIP_INVALID_ARGUMENT"],
  ["a signal that is none", () => evaluate({ signal: 5 }), "ERR_EVACLIP_INVALID_ARGUMENT"],
  ["an unknown option", () => evaluate({ template: ["{}"] }), "ERR_EVACLIP_INVALID_ARGUMENT"],
])("%s is an error", async (_, run, code) => {
  await expect(run()).rejects.toMatchObject({ code });
});
