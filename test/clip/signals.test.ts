import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Device, EvaClip, evaluateRetrieval, listDevices } from "eva-clip";
import { openClassFolder, openDataset, openImageFolder, openManifest, openWebDataset } from "eva-clip/data";
import { Batcher } from "../../lib/serve/batcher";
import { numberedDataset } from "../data/sample_files";
import { tinyConfig, tinyTokenizer } from "../support/tiny_clip";

/** Runs of programs, and what holds them back. */
let runs = 0;
let hold: Promise<void> = Promise.resolve();
jest.mock("../../lib/compile_by_shape", () => {
  const actual = jest.requireActual("../../lib/compile_by_shape");
  const counted = (...given: unknown[]) => {
    const program = actual.compileByShape(...given);
    const run = async (inputs: unknown) => {
      runs++;
      await hold;
      return program(inputs);
    };
    return Object.assign(run, program);
  };
  return { ...actual, compileByShape: counted };
});

const options = { device: "cpu", threads: 1, tokenizer: tinyTokenizer, init: "fan_in" } as const;
const reason = new Error("given up");
const aborted = AbortSignal.abort(reason);
let decoded = 0;
/** An image whose reading is counted and goes on until `read` settles. */
const countedImage = (read: Promise<void> = Promise.resolve()) =>
  Object.defineProperty(new Blob([]), "arrayBuffer", {
    value: async () => {
      decoded++;
      await read;
      return new ArrayBuffer(0);
    },
  });

let model: EvaClip;
let folder: string;
beforeAll(async () => {
  model = await EvaClip.create(tinyConfig, options);
  folder = mkdtempSync(join(tmpdir(), "eva-clip-signals-"));
  mkdirSync(join(folder, "class"));
  writeFileSync(join(folder, "class", "a.png"), "");
  writeFileSync(join(folder, "rows.csv"), "filepath,title\na.png,a\n");
  writeFileSync(join(folder, "a.tar"), Buffer.alloc(1024));
  await model.save(join(folder, "model"));
});
beforeEach(() => {
  runs = 0;
  decoded = 0;
  hold = Promise.resolve();
});
afterAll(async () => {
  await model.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Calls of every asynchronous function that takes a signal. */
const calls: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
  encodeImage: (signal) => model.encodeImage([countedImage()], { signal }),
  encodeImages: (signal) => model.encodeImages([countedImage()], { signal }).next(),
  encodeText: (signal) => model.encodeText("a", { signal }),
  encodeTexts: (signal) => model.encodeTexts(["a"], { signal }).next(),
  encodePixels: (signal) => model.encodePixels(new Uint8Array(16 * 16 * 3), 1, { signal }),
  encodeTokens: (signal) => model.encodeTokens(Int32Array.of(30, 4, 31, 0), 1, { signal }),
  similarity: (signal) => model.similarity(new Float32Array(16), new Float32Array(16), { signal }),
  classify: (signal) => model.classify(countedImage(), ["a"], { signal }),
  classifier: (signal) => model.classifier(["a"], { signal }),
  save: (signal) => model.save(join(folder, "saved"), { signal }),
  evaluateRetrieval: (signal) => evaluateRetrieval(model, numberedDataset(3), { signal }),
  "EvaClip.create": (signal) => EvaClip.create(tinyConfig, { ...options, signal }),
  "EvaClip.load": (signal) => EvaClip.load(join(folder, "model"), { ...options, signal }),
  "Device.open": (signal) => Device.open("cpu", { signal }),
  "Device.open auto": (signal) => Device.open("auto", { signal }),
  listDevices: (signal) => listDevices({ signal }),
  openDataset: (signal) => openDataset(folder, { signal }),
  openImageFolder: (signal) => openImageFolder(folder, { signal }),
  openClassFolder: (signal) => openClassFolder(folder, { signal }),
  openManifest: (signal) => openManifest(join(folder, "rows.csv"), { signal }),
  openWebDataset: (signal) => openWebDataset(join(folder, "a.tar"), { signal }),
};

test.each(Object.keys(calls))(
  "%s with an aborted signal rejects with its reason and does nothing",
  async (name) => {
    await expect(calls[name]!(aborted)).rejects.toBe(reason);
    await delay(2);
    expect([runs, decoded]).toEqual([0, 0]);
  },
);

test.each(Object.keys(calls))("%s is rejected when it is aborted later", async (name) => {
  const controller = new AbortController();
  const call = calls[name]!(controller.signal);
  controller.abort(reason);
  await expect(call).rejects.toBe(reason);
});

test("calls that wait for the device cost nothing when they are given up", async () => {
  let release = (): void => undefined;
  hold = new Promise((resolve) => {
    release = resolve;
  });
  const busy = [model.encodeText("a"), model.encodeText("b")];
  await delay(5);
  expect(runs).toBe(2);
  const controller = new AbortController();
  const { signal } = controller;
  const classifier = model.classifier(["a"], { signal });
  const given = [
    ...["c", "d", "e"].map((caption) => model.encodeText(caption, { signal })),
    model.encodePixels(new Uint8Array(16 * 16 * 3), 1, { signal }),
    model.similarity(new Float32Array(16), new Float32Array(16), { signal }),
    classifier,
  ];
  await delay(5);
  controller.abort(reason);
  for (const call of given) await expect(call).rejects.toBe(reason);
  release();
  await Promise.all(busy);
  await delay(5);
  expect(runs).toBe(2);
  await model.encodeText("goes on");
});

test("images that wait to be decoded are not, when their call is given up", async () => {
  let finishReading = (): void => undefined;
  const read = new Promise<void>((resolve) => {
    finishReading = resolve;
  });
  const controller = new AbortController();
  const call = model.encodeImage(
    Array.from({ length: 300 }, () => countedImage(read)),
    { signal: controller.signal, batchSize: 300 },
  );
  await delay(0);
  controller.abort(reason);
  await expect(call).rejects.toBe(reason);
  const begun = decoded;
  expect(begun).toBeLessThan(300);
  finishReading();
  await delay(10);
  expect(decoded).toBe(begun);
});

test("what is opened after the call was given up is freed", async () => {
  const open = jest.spyOn(Device, "open");
  const controller = new AbortController();
  const call = EvaClip.create(tinyConfig, { ...options, signal: controller.signal });
  const device = (await open.mock.results[0]!.value) as Device;
  controller.abort(reason);
  await expect(call).rejects.toBe(reason);
  await delay(100);
  expect(device.disposed).toBe(true);
  open.mockRestore();
});

test("memoryInfo reports classifiers, and what waits in batchers", async () => {
  const before = await model.memoryInfo();
  expect(before).toMatchObject({ device: "cpu", classifierBytes: 0, queuedSamples: 0, queuedBytes: 0 });
  const classifier = await model.classifier(["a", "b", "c"]);
  const batcher = new Batcher(model, { maxDelayMs: 1000 });
  const waiting = [batcher.encodeText("four"), batcher.encodeText("five")];
  await expect(model.memoryInfo()).resolves.toMatchObject({
    classifierBytes: 3 * 16 * 4,
    parameterBytes: before.parameterBytes,
    queuedSamples: 2,
    queuedBytes: 16,
  });
  await Promise.all([batcher.dispose(), ...waiting]);
  await classifier.dispose();
  expect(await model.memoryInfo()).toMatchObject({ classifierBytes: 0, queuedSamples: 0, queuedBytes: 0 });
});
