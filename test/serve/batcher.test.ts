import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { EvaClip } from "../../lib/clip/eva_clip";
import { Batcher, type BatcherOptions, type BatchReport } from "../../lib/serve/batcher";
import { eventLoopHeldMs } from "../support/event_loop";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

/** Sizes of the runs of programs, and what holds them back. */
const runs: string[] = [];
let hold: Promise<void> = Promise.resolve();
let runMs = 0;
jest.mock("../../lib/compile_by_shape", () => {
  const actual = jest.requireActual("../../lib/compile_by_shape");
  const counted = (...given: unknown[]) => {
    const program = actual.compileByShape(...given);
    const run = async (inputs: Record<string, { shape: number[] }>) => {
      const { images, textEnds } = inputs;
      runs.push(images ? `image ${images.shape[0]}` : `text ${textEnds!.shape[0]}`);
      await hold;
      if (runMs > 0) await delay(runMs);
      return program(inputs);
    };
    return Object.assign(run, program);
  };
  return { ...actual, compileByShape: counted };
});

/** Until the returned function is called, the device is busy with what it is given. */
function holdDevice(): () => void {
  let release = (): void => undefined;
  hold = new Promise((resolve) => {
    release = resolve;
  });
  return release;
}

const tokenized: string[] = [];
const tokenizer = {
  ...tinyTokenizer,
  encode: (caption: string, contextLength?: number) => {
    tokenized.push(caption);
    if (caption === "poison") throw new Error("a tokenizer's own error");
    return tinyTokenizer.encode(caption, contextLength);
  },
};
const options = { device: "cpu", threads: 1, tokenizer, init: "fan_in" } as const;
const words = (count: number) => Array.from({ length: count }, (_, i) => `word ${i}`);
const pixels = (value: number) => {
  const data = new Uint8Array(20 * 16 * 3).map((_, i) => (i * (value + 3)) % 251);
  return { data, width: 20, height: 16, channels: 3 as const };
};
const pictures = (count: number) => Array.from({ length: count }, (_, i) => pixels(i));
const fixture = (name: string) => join(__dirname, "..", "fixtures", name);

/** How calls end: "ok", or the code or message of the error. */
const endings = (calls: readonly Promise<unknown>[]) =>
  Promise.all(
    calls.map((call) =>
      call.then(
        () => "ok",
        (error: { code?: string; message: string }) => error.code ?? error.message,
      ),
    ),
  );

let decoded = 0;
/** An image whose decoding is counted. */
const countedImage = () =>
  Object.defineProperty(new Blob([]), "arrayBuffer", {
    value: async () => {
      decoded++;
      throw new Error("decoded");
    },
  });

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, options);
});
beforeEach(() => {
  hold = Promise.resolve();
  runMs = 0;
  runs.length = 0;
  tokenized.length = 0;
  decoded = 0;
});
afterAll(() => model.dispose());

const withBatcher = async <T>(own: BatcherOptions, work: (batcher: Batcher) => Promise<T>): Promise<T> => {
  await using batcher = new Batcher(model, own);
  return await work(batcher);
};
const expectClose = (actual: Float32Array, expected: Float32Array) => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, 5);
  });
};

test("concurrent calls share batches and get what the model gives", async () => {
  const reports: BatchReport[] = [];
  const images = pictures(11);
  const captions = words(40);
  const expected = [...(await model.encodeImage(images)), ...(await model.encodeText(captions))];
  const raw = await model.encodeText("word 3", { normalize: false });
  runs.length = 0;
  await withBatcher({ onBatch: (batch) => reports.push(batch) }, async (batcher) => {
    const results = await Promise.all([
      ...images.map((image) => batcher.encodeImage(image)),
      ...captions.map((caption) => batcher.encodeText(caption)),
      batcher.encodeText("word 3", { normalize: false }),
    ]);
    expected.forEach((row, i) => {
      expectClose(results[i]!, row);
    });
    expectClose(results.at(-1)!, raw);
    expect(batcher.queued).toBe(0);
  });
  expect(runs.length).toBeLessThan(10);
  expect(runs).toEqual(reports.map(({ kind, size }) => `${kind} ${size}`));
  expect(reports.reduce((sum, { size }) => sum + size, 0)).toBe(52);
  for (const { queuedMs, computeMs } of reports) {
    expect(queuedMs).toBeGreaterThanOrEqual(0);
    expect(computeMs).toBeGreaterThan(0);
  }
});

test("each embedding has its own memory, and an image may be changed after the call", async () => {
  const image = pixels(1);
  const expected = await model.encodeImage(image);
  await withBatcher({}, async (batcher) => {
    const first = batcher.encodeImage(image);
    image.data.fill(0);
    const [a, b] = await Promise.all([first, batcher.encodeImage(pixels(1))]);
    expectClose(a, expected);
    expectClose(b, expected);
    expect(a.buffer).not.toBe(b.buffer);
    expect(a.buffer.byteLength).toBe(4 * model.embedDim);
  });
});

test("while the device is busy, a full batch is collected; then sizes are the largest powers of two", async () => {
  await withBatcher({ maxBatch: 8 }, async (batcher) => {
    const release = holdDevice();
    const calls = [batcher.encodeText("first")];
    await delay(30);
    calls.push(...words(21).map((word) => batcher.encodeText(word)));
    await delay(30);
    expect(batcher.queued).toBe(13);
    release();
    await Promise.all(calls);
  });
  expect(runs).toEqual(["text 1", "text 8", "text 8", "text 4", "text 1"]);
});

test("images and captions alternate, though either would keep the device busy", async () => {
  await withBatcher({ maxBatch: 4 }, async (batcher) => {
    const release = holdDevice();
    const calls: Promise<unknown>[] = [batcher.encodeText("first")];
    await delay(20);
    for (const word of words(12)) calls.push(batcher.encodeText(word));
    for (const picture of pictures(8)) calls.push(batcher.encodeImage(picture));
    runMs = 40;
    release();
    await Promise.all(calls);
  });
  expect(runs).toEqual(["text 1", "image 4", "text 4", "image 4", "text 4", "text 4"]);
});

test("a single call starts after maxDelayMs, a full batch at once", async () => {
  await withBatcher({ maxBatch: 32, maxDelayMs: 60 }, async (batcher) => {
    const call = batcher.encodeText("alone");
    await delay(20);
    expect([batcher.queued, runs.length]).toEqual([1, 0]);
    await call;
    expect(runs).toEqual(["text 1"]);
  });
  await withBatcher({ maxBatch: 2, maxDelayMs: 60_000 }, (batcher) =>
    Promise.all([batcher.encodeImage(pixels(0)), batcher.encodeImage(pixels(1))]),
  );
  expect(runs).toEqual(["text 1", "image 2"]);
});

test("a sample that cannot be used fails alone", async () => {
  const ended = await withBatcher({ maxDelayMs: 20 }, (batcher) =>
    endings([
      batcher.encodeImage(fixture("image_gray.png")),
      batcher.encodeImage(fixture("missing.png")),
      batcher.encodeImage(Buffer.from("not an image")),
      batcher.encodeImage(pixels(1)),
      batcher.encodeImage({ ...pixels(1), width: 3 }),
      batcher.encodeText("good"),
      batcher.encodeText("poison"),
      batcher.encodeText(7 as never),
    ]),
  );
  const [data, invalid] = ["ERR_EVACLIP_DATA", "ERR_EVACLIP_INVALID_ARGUMENT"];
  expect(ended).toEqual(["ok", data, data, "ok", invalid, "ok", "a tokenizer's own error", invalid]);
  expect(runs.reduce((sum, run) => sum + Number(run.split(" ")[1]), 0)).toBe(3);
});

test("an embedding that is not finite rejects its own call only", async () => {
  const embedding = model.model.parameters().find(({ name }) => name.includes("token_embedding"))!;
  const { data } = await embedding.read();
  const bad = Float32Array.from(data as Float32Array);
  const id = tinyTokenizer.encode("z")[1]!;
  bad.fill(Number.NaN, id * 16, (id + 1) * 16);
  await embedding.write(bad);
  const ended = await withBatcher({ maxDelayMs: 20 }, (batcher) =>
    endings(["a", "z", "b"].map((word) => batcher.encodeText(word))),
  );
  expect(ended).toEqual(["ok", "ERR_EVACLIP_NOT_FINITE", "ok"]);
  await embedding.write(data);
});

describe("a call given up", () => {
  const reason = new Error("given up");

  test("before its batch starts costs nothing", async () => {
    await withBatcher({ maxDelayMs: 30 }, async (batcher) => {
      const controller = new AbortController();
      const { signal } = controller;
      const calls = [
        batcher.encodeImage(countedImage(), { signal }),
        batcher.encodeText("x", { signal }),
        batcher.encodeImage(countedImage(), { signal: AbortSignal.abort(reason) }),
      ];
      await delay(1);
      expect(batcher.queued).toBe(2);
      controller.abort(reason);
      expect(batcher.queued).toBe(0);
      expect(await endings(calls)).toEqual(calls.map(() => "given up"));
      await delay(60);
    });
    expect([decoded, tokenized, runs]).toEqual([0, [], []]);
  });

  test("while the device is busy is neither decoded nor computed", async () => {
    await withBatcher({ maxBatch: 2, maxDelayMs: 0 }, async (batcher) => {
      const release = holdDevice();
      const started = [batcher.encodeText("first")];
      await delay(10);
      started.push(...["ready 1", "ready 2"].map((word) => batcher.encodeText(word)));
      started.push(...pictures(2).map((picture) => batcher.encodeImage(picture)));
      await delay(40);
      const controller = new AbortController();
      const given = { signal: controller.signal };
      const calls = [1, 2, 3].map(() => batcher.encodeImage(countedImage(), given));
      calls.push(...["a", "b"].map((word) => batcher.encodeText(word, given)));
      await delay(10);
      controller.abort(reason);
      expect(await endings(calls)).toEqual(calls.map(() => "given up"));
      release();
      await Promise.all(started);
    });
    expect([decoded, tokenized]).toEqual([0, ["first", "ready 1", "ready 2"]]);
    expect(runs).toEqual(["text 1", "image 2", "text 2"]);
  });

  test("in a batch is rejected at once, and the others get their embeddings", async () => {
    await withBatcher({ maxBatch: 2 }, async (batcher) => {
      const release = holdDevice();
      const controller = new AbortController();
      const call = batcher.encodeText("a", { signal: controller.signal });
      const other = batcher.encodeText("b");
      await delay(20);
      controller.abort(reason);
      await expect(call).rejects.toBe(reason);
      release();
      expectClose(await other, await model.encodeText("b"));
    });
  });

  test("leaves the rows of the others in place", async () => {
    const expected = await model.encodeImage(pictures(5));
    await withBatcher({ maxBatch: 8 }, async (batcher) => {
      const release = holdDevice();
      const first = batcher.encodeText("first");
      await delay(10);
      const controllers = expected.map(() => new AbortController());
      const calls = pictures(5).map((picture, i) =>
        batcher.encodeImage(picture, { signal: controllers[i]!.signal }),
      );
      await delay(60);
      controllers[0]!.abort(reason);
      controllers[3]!.abort(reason);
      release();
      expect(await endings(calls)).toEqual(["given up", "ok", "ok", "given up", "ok"]);
      for (const i of [1, 2, 4]) expectClose(await calls[i]!, expected[i]!);
      await first;
    });
    expect(runs.slice(-2)).toEqual(["image 2", "image 1"]);
  });
});

test("a full queue rejects at once, and takes calls again later", async () => {
  await withBatcher({ maxBatch: 1, maxQueue: 3 }, async (batcher) => {
    const release = holdDevice();
    const calls = [batcher.encodeText("first")];
    await delay(20);
    calls.push(batcher.encodeText("ready"));
    await delay(20);
    for (const word of words(5)) calls.push(batcher.encodeText(word));
    calls.push(batcher.encodeImage(pixels(1)));
    const full = "ERR_EVACLIP_QUEUE_FULL";
    expect(await endings(calls.slice(-3))).toEqual([full, full, full]);
    release();
    expect(await endings(calls.slice(0, -3))).toEqual(Array(5).fill("ok"));
    await batcher.encodeText("later");
  });
});

test("dispose computes the queue at once, rejects later calls, and leaves the model", async () => {
  const batcher = new Batcher(model, { maxBatch: 4, maxDelayMs: 60_000 });
  const calls = [...words(3).map((word) => batcher.encodeText(word)), batcher.encodeImage(pixels(0))];
  const disposed = batcher.dispose();
  await expect(batcher.encodeText("late")).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
  expect(await endings(calls)).toEqual(Array(4).fill("ok"));
  await disposed;
  expect(batcher.dispose()).toBe(batcher.dispose());
  await model.encodeText("still there");
});

test("dispose of the model waits for the queue of its batcher", async () => {
  const own = await EvaClip.create(tinyConfig, options);
  const batcher = new Batcher(own, { maxBatch: 2 });
  const calls = words(9).map((word) => batcher.encodeText(word));
  await own.dispose();
  expect(await endings(calls)).toEqual(calls.map(() => "ok"));
  expect(await endings([batcher.encodeText("late")])).toEqual(["ERR_EVACLIP_DISPOSED"]);
  await batcher.dispose();
});

test("what fails on the device rejects the calls of the batch, and the batcher goes on", async () => {
  await withBatcher({ maxDelayMs: 10 }, async (batcher) => {
    hold = Promise.reject(new Error("a device's error"));
    hold.catch(() => undefined);
    const calls = words(2).map((word) => batcher.encodeText(word));
    expect(await endings(calls)).toEqual(["a device's error", "a device's error"]);
    hold = Promise.resolve();
    await batcher.encodeText("goes on");
  });
});

test("many calls share a signal without a warning of Node's", async () => {
  const warned = jest.fn();
  process.on("warning", warned);
  const { signal } = new AbortController();
  await withBatcher({}, (batcher) =>
    Promise.all(words(40).map((word) => batcher.encodeText(word, { signal }))),
  );
  await delay(5);
  process.off("warning", warned);
  expect(warned).not.toHaveBeenCalled();
});

test("the event loop is not held", async () => {
  const images = pictures(32);
  await withBatcher({}, async (batcher) => {
    const caller = async (image: (typeof images)[number], number: number) => {
      for (let i = 0; i < 5; i++) {
        await batcher.encodeImage(image);
        await batcher.encodeText(`caller ${number}`);
      }
    };
    const held = await eventLoopHeldMs(20, () => Promise.all(images.map(caller)));
    expect(held).toBeLessThan(20);
  });
});

test("options are checked", () => {
  const invalid = expect.objectContaining({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
  for (const bad of [
    { maxBatch: 0 },
    { maxDelayMs: -1 },
    { maxQueue: 1.5 },
    { onBatch: 3 },
    { maxbatch: 2 },
  ]) {
    expect(() => new Batcher(model, bad as never)).toThrow(invalid);
  }
  expect(() => new Batcher({} as never)).toThrow(invalid);
});
