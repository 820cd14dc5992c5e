import { indexedDataset } from "../../lib/data/sources/indexed_dataset";
import { SampleError } from "../../lib/sample_error";
import type { Encoder } from "../../lib/clip/encoder";
import { bestRanks, evaluateRetrieval, recallScores } from "../../lib/eval/retrieval";

const EMBED = 3;

/** An encoder that computes in JavaScript: an image's red, green and blue, and for a caption the numbers it is made of. */
const encoder: Encoder & { calls: number } = {
  embedDim: EMBED,
  imageSize: 4,
  description: "a test",
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

const nan = (length: number) => new Float32Array(length).fill(Number.NaN);

test("a rank counts the better answers, and ties apart; other right answers do not count", async () => {
  const queries = Float32Array.of(1, 0, 0);
  const answers = Float32Array.of(0.5, 0, 0, 0.9, 0, 0, 0.5, 0, 0, 0.8, 0, 0);
  const rank = async (right: number[]) => (await bestRanks(encoder, queries, answers, () => right))[0];
  expect(await rank([1])).toEqual({ above: 0, tiedWrong: 0, tiedRight: 1 });
  expect(await rank([3])).toEqual({ above: 1, tiedWrong: 0, tiedRight: 1 });
  expect(await rank([0])).toEqual({ above: 2, tiedWrong: 1, tiedRight: 1 });
  expect(await rank([2])).toEqual({ above: 2, tiedWrong: 1, tiedRight: 1 });
  expect(await rank([0, 2])).toEqual({ above: 2, tiedWrong: 0, tiedRight: 2 });
  expect(await rank([2, 3])).toEqual({ above: 1, tiedWrong: 0, tiedRight: 1 });
});

test("an encoder that gives the same for everything scores no better than chance", async () => {
  const queries = new Float32Array(20 * EMBED);
  const scores = recallScores(await bestRanks(encoder, queries, queries, (query) => [query]));
  expect(scores.recallAt1).toBeCloseTo(1 / 20);
  expect(scores.recallAt5).toBeCloseTo(5 / 20);
  expect(scores.recallAt10).toBeCloseTo(10 / 20);
  expect(scores.meanRank).toBeCloseTo(10.5);
  const few = queries.subarray(0, 4 * EMBED);
  const others = await bestRanks(encoder, few, queries, () => [0]);
  expect(recallScores(others).recallAt1).toBeCloseTo(1 / 20);
});

test("recall and ranks", () => {
  const ranks = [0, 3, 7, 20].map((above) => ({ above, tiedWrong: 0, tiedRight: 1 }));
  expect(recallScores(ranks)).toEqual({
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
  const colors = [
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
          data: Uint8Array.from({ length: 4 * 4 * 3 }, (_, at) => colors[i]![at % 3]!),
          width: 4,
          height: 4,
          channels: 3,
        },
        captions: [colors[i]!.join(" "), "0.1 0.1 0.1"],
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

const pictures = (captions: (i: number) => string[], size = 3) =>
  indexedDataset({
    size,
    at: (i) => ({
      key: `picture ${i}`,
      read: async () => {
        if (i === 1) throw new SampleError("missing_file", "it is gone");
        const data = new Uint8Array(48).fill(10 * i);
        return { image: { data, width: 4, height: 4, channels: 3 as const }, captions: captions(i) };
      },
    }),
  });

test("what could not be scored is counted by reason", async () => {
  const result = await evaluateRetrieval(
    encoder,
    pictures((i) => (i === 2 ? [" "] : ["1 0 0"])),
  );
  expect(result).toMatchObject({
    images: 1,
    captions: 1,
    skipped: 2,
    skips: { missing_file: 1, missing_caption: 1 },
  });
});

test("nothing left to score is an error", async () => {
  await expect(
    evaluateRetrieval(
      encoder,
      pictures(() => [""]),
    ),
  ).rejects.toMatchObject({
    code: "ERR_EVACLIP_DATA",
    message: expect.stringContaining("no image with a caption"),
  });
});

test.each([
  ["NaN in an embedding", { encodePixels: async (_: unknown, batch: number) => nan(batch * EMBED) }],
  ["NaN in a caption's", { encodeText: async (texts: readonly string[]) => texts.map(() => nan(EMBED)) }],
  [
    "NaN in an embedding whose products hide it",
    {
      encodePixels: async (_: unknown, batch: number) => nan(batch * EMBED),
      products: async (a: Float32Array, b: Float32Array) =>
        new Float32Array((a.length * b.length) / EMBED ** 2),
    },
  ],
  ["infinite products", { products: async () => new Float32Array(4).fill(Number.POSITIVE_INFINITY) }],
])("%s is never a rank", async (_, broken) => {
  const model = { ...encoder, ...broken } as Encoder;
  await expect(
    evaluateRetrieval(
      model,
      pictures(() => ["1 0 0"]),
    ),
  ).rejects.toMatchObject({
    code: "ERR_EVACLIP_NOT_FINITE",
  });
});

test.each([
  ["too few products", { products: async () => new Float32Array(1) }],
  ["too few embeddings", { encodePixels: async () => new Float32Array(EMBED) }],
  ["embeddings of no type", { encodePixels: async () => undefined }],
  ["too few captions' embeddings", { encodeText: async () => [] }],
])("%s are an error", async (_, broken) => {
  const model = { ...encoder, ...broken } as Encoder;
  await expect(
    evaluateRetrieval(
      model,
      pictures(() => ["1 0 0"]),
    ),
  ).rejects.toMatchObject({
    code: "ERR_EVACLIP_SHAPE",
  });
});

test("an aborted signal ends it at once, even while a sample is read without end", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const stuck = indexedDataset({ size: 1, at: () => ({ key: "stuck", read: () => new Promise(() => {}) }) });
  const evaluation = evaluateRetrieval(encoder, stuck, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  await expect(evaluation).rejects.toBe(reason);
  await expect(evaluateRetrieval(encoder, stuck, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test.each([
  [
    "encoder",
    () =>
      evaluateRetrieval(
        {} as never,
        pictures(() => []),
      ),
    "model must be an EvaClip",
  ],
  ["data set", () => evaluateRetrieval(encoder, "folder" as never), "dataset must be a data set"],
  [
    "options",
    () =>
      evaluateRetrieval(
        encoder,
        pictures(() => []),
        null as never,
      ),
    "must be an object",
  ],
  [
    "option",
    () =>
      evaluateRetrieval(
        encoder,
        pictures(() => []),
        { batchsize: 3 } as never,
      ),
    "did you mean batchSize?",
  ],
  [
    "batch size",
    () =>
      evaluateRetrieval(
        encoder,
        pictures(() => []),
        { batchSize: 0 },
      ),
    "batchSize must be at least 1",
  ],
])("a wrong %s is refused", async (_, run, message) => {
  await expect(run()).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(message),
  });
});
