import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { indexedDataset } from "../../lib/data/sources/indexed_dataset";
import { Device } from "../../lib/device";
import { evaluateRetrieval } from "../../lib/eval/retrieval";
import { evaluateZeroShot } from "../../lib/eval/zero_shot";
import { EvaClip } from "../../lib/clip/eva_clip";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, init: "fan_in" } as const;
const picture = join(__dirname, "..", "fixtures", "image_rgb_tall.png");
const disposed = { code: "ERR_EVACLIP_DISPOSED" };

const dataset = indexedDataset({
  size: 8,
  classes: ["cat", "dog"],
  at: (i) => ({
    key: String(i),
    label: i % 2,
    read: async () => ({ image: picture, captions: [`caption ${i}`] }),
  }),
});
const words = Array.from({ length: 20 }, (_, i) => `word ${i}`);
const vector = new Float32Array(16).fill(0.25);

/** Every way to call a model that has more than one stage. */
const CALLS: [string, (model: EvaClip) => Promise<unknown>][] = [
  ["classify", (model) => model.classify([picture, picture], words, { topK: 2 })],
  ["evaluateZeroShot", (model) => evaluateZeroShot(model, dataset, { templates: ["a {}"], batchSize: 3 })],
  ["evaluateRetrieval", (model) => evaluateRetrieval(model, dataset, { batchSize: 3 })],
  ["encodeText in parts", (model) => model.encodeText(words, { batchSize: 1 })],
  ["encodeImage in parts", (model) => model.encodeImage([picture, picture, picture], { batchSize: 1 })],
  ["similarity", (model) => model.similarity([vector, vector], [vector])],
  ["memoryInfo", (model) => model.memoryInfo()],
];

describe.each(CALLS)("%s", (_, call) => {
  test.each([0, 1, 5])("is waited for by a dispose %p ms after it", async (delay) => {
    const model = await EvaClip.create(tinyConfig, options);
    const events: string[] = [];
    const underWay = call(model).then((result) => {
      events.push("call");
      return result;
    });
    if (delay > 0) await setTimeout(delay);
    const ending = model.dispose().then(() => events.push("disposed"));
    await expect(call(model)).rejects.toMatchObject(disposed);
    await underWay;
    await ending;
    expect(events).toEqual(["call", "disposed"]);
  });

  test("after dispose it rejects", async () => {
    const model = await EvaClip.create(tinyConfig, options);
    await model.dispose();
    await expect(call(model)).rejects.toMatchObject(disposed);
  });
});

test("dispose returns the same promise each time", async () => {
  const model = await EvaClip.create(tinyConfig, options);
  const first = model.dispose();
  expect(model.dispose()).toBe(first);
  await first;
  expect(model.dispose()).toBe(first);
});

test("an aborted call settles at once, and dispose waits for what it left", async () => {
  const model = await EvaClip.create(tinyConfig, options);
  let isRead = false;
  const slow = indexedDataset({
    size: 1,
    classes: ["cat", "dog"],
    at: () => ({
      key: "slow",
      label: 0,
      read: async () => {
        await setTimeout(200);
        isRead = true;
        return { image: picture, captions: ["a cat"] };
      },
    }),
  });
  const controller = new AbortController();
  const call = evaluateZeroShot(model, slow, { templates: ["a {}"], signal: controller.signal });
  await setTimeout(50);
  const reason = new Error("no longer wanted");
  controller.abort(reason);
  await expect(call).rejects.toBe(reason);
  expect(isRead).toBe(false);
  await model.dispose();
  expect(isRead).toBe(true);
});

test("calls that are aborted leave no listeners", async () => {
  await using model = await EvaClip.create(tinyConfig, options);
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    listeners++;
    add(...given);
  };
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    listeners--;
    remove(...given);
  };
  await model.encodeText(words, { signal, batchSize: 2 });
  await model.classify(picture, ["cat"], { signal });
  expect(listeners).toBe(0);
  const call = model.encodeText(words, { signal, batchSize: 1 });
  controller.abort();
  await expect(call).rejects.toBe(signal.reason);
  expect(listeners).toBe(0);
});

test("models that share a device: one is disposed while both compute", async () => {
  await using device = await Device.open("cpu", { threads: 1 });
  const first = await EvaClip.create(tinyConfig, { ...options, device });
  await using second = await EvaClip.create(tinyConfig, { ...options, device });
  const calls = [first, second].map((model) => model.classify(picture, words));
  await Promise.all([first.dispose(), ...calls]);
  expect(await second.encodeText("cat")).toHaveLength(16);
});

test("a device that was disposed first: the model's calls and dispose settle", async () => {
  const device = await Device.open("cpu", { threads: 1 });
  const model = await EvaClip.create(tinyConfig, { ...options, device });
  await model.encodeText("cat");
  await device.dispose();
  await expect(model.encodeText("cat")).rejects.toMatchObject(disposed);
  await model.dispose();
});
