import { indexedDataset } from "../../lib/data/indexed_dataset";
import type { Encoder } from "../../lib/eval/encoder";
import { bestRanks, evaluateRetrieval, recallScores } from "../../lib/eval/retrieval";

const EMBED = 3;

/** An encoder that computes in JavaScript: an image's red, green and blue, and for a caption the numbers it is made of. */
const encoder: Encoder & { calls: number } = {
  embedDim: EMBED,
  imageSize: 4,
  setting: "a test",
  calls: 0,
  encodePixels: async (pixels, batch) => {
    const each = pixels.length / batch;
    return Float32Array.from(
      { length: batch * EMBED },
      (_, i) => pixels[Math.floor(i / EMBED) * each + (i % EMBED)]!,
    );
  },
  encodeText: async (captions) => captions.map((text) => Float32Array.from(text.split(" ").map(Number))),
  products: async (a, b) => {
    encoder.calls++;
    const [n, m] = [a.length / EMBED, b.length / EMBED];
    const dot = (i: number, j: number) =>
      [0, 1, 2].reduce((sum, k) => sum + a[i * EMBED + k]! * b[j * EMBED + k]!, 0);
    return Float32Array.from({ length: n * m }, (_, at) => dot(Math.floor(at / m), at % m));
  },
};

test("a rank counts the better answers, and the equal ones before; other right answers do not count", async () => {
  const queries = Float32Array.of(1, 0, 0);
  const answers = Float32Array.of(0.5, 0, 0, 0.9, 0, 0, 0.5, 0, 0, 0.8, 0, 0);
  const rank = async (right: number[]) => (await bestRanks(encoder, queries, answers, () => right))[0];
  expect(await rank([1])).toBe(0);
  expect(await rank([3])).toBe(1);
  expect(await rank([0])).toBe(2);
  expect(await rank([2])).toBe(3);
  expect(await rank([2, 3])).toBe(1);
});

test("an encoder that gives the same for everything scores no better than chance", async () => {
  const queries = new Float32Array(20 * EMBED);
  const ranks = await bestRanks(encoder, queries, queries, (query) => [query]);
  expect(recallScores(ranks).recallAt1).toBeCloseTo(1 / 20);
});

test("recall and ranks", () => {
  expect(recallScores([0, 3, 7, 20])).toEqual({
    recallAt1: 0.25,
    recallAt5: 0.5,
    recallAt10: 0.75,
    meanRank: 8.5,
    medianRank: 6,
  });
});

test("many scores are ranked a part at a time, and the event loop turns between the parts", async () => {
  const queries = new Float32Array(600 * EMBED).map((_, i) => Math.sin(i));
  const answers = new Float32Array(5000 * EMBED).map((_, i) => Math.cos(i));
  const before = encoder.calls;
  let turns = 0;
  const turning = setInterval(() => turns++, 0);
  const ranks = await bestRanks(encoder, queries, answers, (query) => [query]);
  clearInterval(turning);
  expect(ranks).toHaveLength(600);
  expect(encoder.calls - before).toBe(3);
  expect(turns).toBeGreaterThan(0);
});

test("every caption of an image is right, in both directions", async () => {
  const colours = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
  ];
  const dataset = indexedDataset({
    size: 3,
    at: (i) => ({
      key: String(i),
      read: async () => ({
        image: {
          data: Uint8Array.from({ length: 4 * 4 * 3 }, (_, at) => colours[i]![at % 3]!),
          width: 4,
          height: 4,
          channels: 3,
        },
        captions: [colours[i]!.join(" "), "0.1 0.1 0.1"],
      }),
    }),
  });
  const result = await evaluateRetrieval(encoder, dataset, { batchSize: 2 });
  expect(result).toMatchObject({ images: 3, captions: 6, skipped: 0 });
  expect(result.imageToText.recallAt1).toBe(1);
  expect(result.textToImage.recallAt1).toBeCloseTo(4 / 6);
  expect(result.textToImage.recallAt5).toBe(1);
  expect(result.protocol).toContain("3 images and 6 captions");
});
