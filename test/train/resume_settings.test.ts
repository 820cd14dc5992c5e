import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Dataset } from "../../lib/data/dataset";
import { indexedDataset } from "../../lib/data/sources/indexed_dataset";
import type { LoaderOptions } from "../../lib/data/loader/loader_options";
import { Device } from "../../lib/device";
import { CLIP_PREPROCESSING } from "../../lib/image/preprocessing";
import { EvaClipError } from "../../lib/errors";
import { clipObjective } from "../../lib/train/objective/clip_objective";
import { batchesOf } from "../../lib/train/batch_source";
import type { TrainOptions } from "../../lib/train/train";
import type { TrainConfig } from "../../lib/train/train_config";
import { type TinyOptions, tinyTokenizer } from "../support/tiny_clip";
import { type Outcome, trainTiny } from "../support/train_tiny";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-settings-"));
  const first = await trainTiny(device, {
    data: batches(dataset(20)),
    steps: 2,
    checkpoint: { directory: join(folder, "first") },
  });
  expect(first.error).toBeUndefined();
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

function dataset(size: number, prefix = "a"): Dataset {
  const image = { data: new Uint8Array(24 * 20 * 3).fill(9), width: 24, height: 20, channels: 3 as const };
  const read = async () => ({ image, captions: ["one"] });
  return indexedDataset({ size, at: (i) => ({ key: `${prefix}/${i}.png`, read }) });
}

/** The same samples, which cannot be read from the middle of an epoch. */
function refusing(data: Dataset): Dataset {
  return {
    ...data,
    open: (request) => {
      if (request.position === undefined) return data.open(request);
      throw new EvaClipError("ERR_EVACLIP_DATA", "the position belongs to another run");
    },
  };
}

const batches = (data: Dataset, batchSize = 4, more: Partial<LoaderOptions> = {}) =>
  batchesOf(data, { batchSize, imageSize: 16, contextLength: 8, seed: 5, tokenizer: tinyTokenizer, ...more });
/** The first run's data, read in another way. */
const options = (more: Partial<LoaderOptions>) => batches(dataset(20), 4, more);

let copies = 0;
/** Goes on with a copy of the first run under another configuration. */
async function resumed(
  config: Partial<TrainConfig>,
  tiny: TinyOptions = {},
  options: Partial<TrainOptions> = {},
) {
  const directory = join(folder, `copy-${++copies}`);
  await cp(join(folder, "first"), directory, { recursive: true });
  const found = await trainTiny(
    device,
    { data: batches(dataset(20)), steps: 2, checkpoint: { directory }, ...config },
    { resume: "latest", ...options },
    tiny,
  );
  return { ...found, directory };
}

const warnings = ({ events }: Outcome) =>
  events.flatMap((event) => (event.type === "warning" ? [event.message] : []));

test("the same settings say nothing", async () => {
  const found = await resumed({});
  expect(found.error).toBeUndefined();
  expect(warnings(found)).toEqual([]);
});

test.each<[string, Partial<TrainConfig>, TinyOptions, RegExp]>([
  ["batch size", { data: "other size" as never }, {}, /batchSize was 4 .* is 5 now/],
  ["steps", { steps: 4 }, {}, /steps was 2 .* is 4 now/],
  ["schedule", { schedule: { kind: "const" } }, {}, /schedule was "cosine" .* is "const" now/],
  [
    "schedule of a tower",
    { schedule: { image: { warmupSteps: 2 }, text: { warmupSteps: 1 }, other: { warmupSteps: 2 } } },
    {},
    /schedule was "cosine" .* is \{"image":\[\{"kind":"cosine","warmupSteps":2/,
  ],
  ["objective", { objective: (step) => clipObjective(step) }, {}, /objective was "clipObjective"/],
  ["warm-up", { schedule: { warmupSteps: 1 } }, {}, /warmupSteps was 2 .* is 1 now/],
  ["learning rate", {}, { learningRate: 1e-4 }, /learningRates\.image was .* is .* now/],
  ["crop", { data: options({ cropScale: [0.5, 1] }) }, {}, /cropScale was not given .* is \[0\.5,1\] now/],
  ["packing of text", { data: options({ textBucket: 16 }) }, {}, /textBucket was not given .* is 16 now/],
  ["transform", { data: options({ transform: "evaluation" }) }, {}, /transform was .* "evaluation" now/],
  ["order", { data: options({ shuffle: false }) }, {}, /shuffle was not given .* is false now/],
  [
    "preprocessing",
    { data: options({ preprocessing: { ...CLIP_PREPROCESSING, interpolation: "bilinear" } }) },
    {},
    /preprocessing was not given .* now/,
  ],
  ["precision", {}, { type: "bf16" }, /precision was "f32" .* is "bf16" now/],
  ["patch dropout", { patchDropout: { rate: 0.25 } }, {}, /patchDropout was 0.5 .* is 0.25 now/],
])("another %s is told, with both values", async (_, config, tiny, message) => {
  const data = config.data === ("other size" as never) ? batches(dataset(20), 5) : config.data;
  const found = await resumed({ ...config, ...(data && { data }) }, tiny);
  expect(found.error).toBeUndefined();
  expect(warnings(found)).toContainEqual(expect.stringMatching(message));
});

test.each<[string, Partial<TrainConfig>, TinyOptions, string, RegExp]>([
  ["optimizer", {}, { optimizer: "lamb" }, "MISMATCH", /optimizer was "adamw" .* is "lamb" now/],
  ["data set of the same size", { data: "b" as never }, {}, "MISMATCH", /firstSamples .*--restart-data/],
  [
    "size of the data set",
    { data: "21" as never },
    {},
    "MISMATCH",
    /has 21 samples and had 20.*--restart-data/,
  ],
  [
    "position in the data",
    { data: "elsewhere" as never },
    {},
    "MISMATCH",
    /belongs to another run.*--restart-data/,
  ],
  [
    "number of steps, fewer than are done",
    { steps: 1, schedule: {} },
    {},
    "ARGUMENT",
    /is at step 2.*has 1 steps/,
  ],
])("another %s is refused, and no file changes", async (_, config, tiny, code, message) => {
  const sources = { b: dataset(20, "b"), "21": dataset(21), elsewhere: refusing(dataset(20)) };
  const data = sources[config.data as unknown as keyof typeof sources];
  const before = await contentOfFolder(join(folder, "first"));
  const metricsFile = join(folder, `metrics-${copies}.jsonl`);
  await writeFile(metricsFile, '{"step":1}\n{"step":7}\n');
  const { error, directory } = await resumed(
    { metricsFile, ...config, ...(data && { data: batches(data) }) },
    tiny,
  );
  expect((error as { code: string }).code).toContain(code);
  expect((error as Error).message).toMatch(message);
  expect(await contentOfFolder(directory)).toEqual(before);
  expect(await readFile(metricsFile, "utf8")).toBe('{"step":1}\n{"step":7}\n');
});

async function contentOfFolder(root: string): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const name of await readdir(root, { recursive: true })) {
    const path = join(root, name);
    if ((await stat(path)).isFile()) content[name] = (await readFile(path)).toString("latin1");
  }
  return content;
}

test.each([
  ["more samples", dataset(21)],
  ["other samples", dataset(20, "b")],
])("restartData goes on with a data set of %s", async (_, data) => {
  const found = await resumed({ data: batches(data), steps: 3 }, {}, { restartData: true });
  expect(found.result).toMatchObject({ step: 3, samplesSeen: 12 });
});

test("a finished run has nothing to do, and no loss", async () => {
  const { result } = await resumed({});
  expect(result).toMatchObject({ reason: "finished", step: 2 });
  expect(result!.loss).toBeUndefined();
});

test("a configuration with another activation is refused, though every shape fits", async () => {
  const directory = join(folder, "first", "step-0000002");
  const path = join(directory, "trainer_state.json");
  const text = await readFile(path, "utf8");
  const state = JSON.parse(text) as { settings: { model: { quick_gelu: boolean } } };
  state.settings.model.quick_gelu = true;
  await writeFile(path, JSON.stringify(state));
  const { error } = await resumed({});
  await writeFile(path, text);
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    message: expect.stringContaining("model.quick_gelu was true"),
  });
});

test.each(["model", "optimizer"])("a bit flipped in %s.safetensors is noticed", async (file) => {
  const path = join(folder, "first", "step-0000002", `${file}.safetensors`);
  const bytes = await readFile(path);
  const flipped = Buffer.from(bytes);
  flipped[flipped.length - 3]! ^= 1;
  await writeFile(path, flipped);
  const { error } = await resumed({});
  await writeFile(path, bytes);
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_CHECKPOINT_CORRUPT",
    message: expect.stringContaining("checksum"),
  });
});

test("a NaN in a checkpoint's tensors is noticed, checksum or not", async () => {
  const path = join(folder, "first", "step-0000002", "model.safetensors");
  const bytes = await readFile(path);
  const broken = Buffer.from(bytes);
  broken.writeFloatLE(Number.NaN, broken.length - 4);
  await writeFile(path, broken);
  const { error } = await resumed({});
  await writeFile(path, bytes);
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_CHECKPOINT_CORRUPT",
    message: expect.stringContaining("not finite"),
  });
});
