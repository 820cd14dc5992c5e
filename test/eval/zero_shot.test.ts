import { indexedDataset } from "../../lib/data/indexed_dataset";
import type { Encoder } from "../../lib/eval/encoder";
import { evaluateZeroShot, rankOf, zeroShotWeights } from "../../lib/eval/zero_shot";

const COLOURS: Record<string, number[]> = { red: [1, 0, 0], green: [0, 1, 0], blue: [0, 0, 1] };

/** Images by their colour; prompts by the colour they name, long ones with a share of red. */
const encoder: Encoder = {
  embedDim: 3,
  imageSize: 4,
  setting: "a test",
  encodePixels: async (pixels, batch) =>
    Float32Array.from({ length: batch * 3 }, (_, i) => pixels[Math.floor(i / 3) * 48 + (i % 3)]! / 255),
  encodeText: async (captions) =>
    captions.map((text) => {
      const name = Object.keys(COLOURS).find((colour) => text.includes(colour))!;
      const [r, g, b] = COLOURS[name]!;
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
        const colour = Object.values(COLOURS)[i % 3]!;
        const data = Uint8Array.from({ length: 48 }, (_, at) => 255 * colour[at % 3]!);
        return { image: { data, width: 4, height: 4, channels: 3 }, captions: ["x"] };
      },
    }),
  });

test("a class is the normalised mean of its prompts", async () => {
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
  expect(result.protocol).toMatch(/3 classes, 1 prompts a class.*4 \(bicubic.*a test/);
  expect(found).toEqual([
    [2, 3],
    [3, 3],
  ]);
});

test("ranks count ties to the left", () => {
  expect(rankOf(Float32Array.of(0.5, 0.9, 0.5, 0.1), 0)).toBe(1);
  expect(rankOf(Float32Array.of(0.5, 0.9, 0.5, 0.1), 2)).toBe(2);
});

test.each([
  [
    "a sample without a class",
    () => evaluateZeroShot(encoder, dataset([0, undefined, 1])),
    "ERR_EVACLIP_DATA",
  ],
  ["no classes", () => zeroShotWeights(encoder, [], ["{}"]), "ERR_EVACLIP_INVALID_ARGUMENT"],
  [
    "a template without a place",
    () => zeroShotWeights(encoder, ["red"], ["a"]),
    "ERR_EVACLIP_INVALID_ARGUMENT",
  ],
])("%s is an error", async (_, run, code) => {
  await expect(run()).rejects.toMatchObject({ code });
});
