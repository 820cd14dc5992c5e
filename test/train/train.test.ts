import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { indexedDataset } from "../../lib/data/sources/indexed_dataset";
import { Device } from "../../lib/device";
import { HostTensor } from "../../lib/host_tensor";
import { batchesByStep, batchesOf, type TrainingBatch } from "../../lib/train/batch_source";
import { type TrainOptions, train } from "../../lib/train/train";
import type { TrainConfig } from "../../lib/train/train_config";
import { type TinyOptions, tinyBatch, tinyTokenizer, tinyTraining } from "../support/tiny_clip";
import { type OnEvent, type Outcome, trainTiny } from "../support/train_tiny";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-train-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

const outcome = (
  config: Partial<TrainConfig>,
  options?: TrainOptions,
  tiny?: TinyOptions,
  onEvent?: OnEvent,
): Promise<Outcome> => trainTiny(device, config, options, tiny, onEvent);

const losses = ({ events }: Outcome) =>
  events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
const types = ({ events }: Outcome) => events.map(({ type }) => type);

test("learns: the loss falls well below that of guessing", async () => {
  const found = await outcome({ steps: 60 }, {}, { learningRate: 5e-3 });
  const seen = losses(found);
  expect(seen).toHaveLength(60);
  expect(seen[0]).toBeGreaterThan(1.5);
  expect(Math.min(...seen.slice(-10))).toBeLessThan(1);
  expect(types(found).at(0)).toBe("start");
  expect(found.events.at(-1)).toEqual({ type: "end", reason: "finished", step: 60 });
});

test.each(["adamw", "lamb"] as const)("the same seed twice gives the same bits (%s)", async (optimizer) => {
  const first = await outcome({}, {}, { optimizer });
  const second = await outcome({}, {}, { optimizer });
  const other = await outcome({}, {}, { optimizer, seed: 2 });
  expect(losses(second)).toEqual(losses(first));
  expect(second.content).toEqual(first.content);
  expect(losses(other)).not.toEqual(losses(first));
});

test("and so it does on two threads", async () => {
  await using two = await Device.open("cpu", { threads: 2 });
  const first = await outcome({ device: two });
  const second = await outcome({ device: two });
  expect(second.content).toEqual(first.content);
});

test.each<[string, TinyOptions]>([
  ["adamw", { optimizer: "adamw" }],
  ["lamb", { optimizer: "lamb" }],
  ["locked towers", { locks: { image: { unlockedGroups: 2 }, text: {} } }],
])("stopped and resumed equals not stopped, bit for bit (%s)", async (name, tiny) => {
  const whole = await outcome({ steps: 8 }, {}, tiny);
  const directory = join(folder, `resume-${name}`);
  const metricsFile = join(directory, "metrics.jsonl");
  const config = { steps: 8, checkpoint: { directory }, metricsFile };
  const first = await outcome(config, {}, tiny, (event, run) => {
    if (event.type === "step" && event.step === 3) run.stop();
  });
  expect(first.events.at(-1)).toEqual({ type: "end", reason: "stopped", step: expect.any(Number) });
  const stopped = losses(first).length;
  expect(stopped).toBeGreaterThanOrEqual(3);
  expect(stopped).toBeLessThan(8);

  const second = await outcome(config, { resume: "latest" }, { ...tiny, seed: 99 });
  expect(second.events[0]).toMatchObject({ type: "start", step: stopped });
  expect([...losses(first), ...losses(second)]).toEqual(losses(whole));
  expect(second.content).toEqual(whole.content);
  const lines = (await readFile(metricsFile, "utf8")).trim().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("a run does not go on from a checkpoint that trained other parameters", async () => {
  const directory = join(folder, "other-locks");
  await outcome({ steps: 2, checkpoint: { directory } });
  const { error } = await outcome(
    { steps: 4, checkpoint: { directory } },
    { resume: "latest" },
    {
      locks: { image: {} },
    },
  );
  expect(error).toMatchObject({
    code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    message: expect.stringContaining("exp_avg.visual."),
  });
});

test("with a loader, too: order, crops and captions go on where they were", async () => {
  const dataset = indexedDataset({
    size: 40,
    at: (i) => ({
      key: String(i),
      read: async () => ({
        image: {
          data: Uint8Array.from({ length: 24 * 20 * 3 }, (_, at) => (i * 37 + at * 11) % 256),
          width: 24,
          height: 20,
          channels: 3,
        },
        captions: [`one ${i}`, `two ${i}`],
      }),
    }),
  });
  const loading = { batchSize: 8, imageSize: 16, contextLength: 8, textBucket: 16, seed: 3 };
  const data = batchesOf(dataset, { ...loading, tokenizer: tinyTokenizer });
  const whole = await outcome({ data, steps: 8 });
  const config = { data, steps: 8, checkpoint: { directory: join(folder, "loader") } };
  const first = await outcome(config, {}, {}, (event, run) => {
    if (event.type === "step" && event.step === 6) run.stop(); // in the second epoch
  });
  const second = await outcome(config, { resume: "latest" }, { seed: 99 });
  expect(losses(first).length).toBeLessThan(8);
  expect([...losses(first), ...losses(second)]).toEqual(losses(whole));
  expect(second.content).toEqual(whole.content);
});

test("a run needs the seed of the checkpoint it goes on from", async () => {
  const directory = join(folder, "seed");
  await outcome({ steps: 1, checkpoint: { directory } });
  const { error } = await outcome({ steps: 2, seed: 6, checkpoint: { directory } }, { resume: directory });
  expect(error).toMatchObject({ code: "ERR_EVACLIP_CHECKPOINT_MISMATCH" });
});

test("resume: latest begins anew, with a warning, where there is nothing", async () => {
  const found = await outcome(
    { steps: 1, checkpoint: { directory: join(folder, "none") } },
    { resume: "latest" },
  );
  expect(types(found)).toEqual(["warning", "start", "step", "checkpoint", "end"]);
});

test("resume: a path without a checkpoint is an error", async () => {
  const { error } = await outcome({}, { resume: join(folder, "nowhere") });
  expect(error).toMatchObject({ code: "ERR_EVACLIP_IO" });
});

test("checkpoints come at their steps, and only the last are kept", async () => {
  const directory = join(folder, "kept");
  const found = await outcome({ steps: 5, checkpoint: { directory, every: 2, keepLast: 2 } });
  const steps = found.events.flatMap((event) => (event.type === "checkpoint" ? [event.step] : []));
  expect(steps).toEqual([2, 4, 5]);
  expect((await readdir(directory)).sort()).toEqual(["latest", "run.json", "step-0000004", "step-0000005"]);
});

test("a checkpoint can be asked for while the run goes on", async () => {
  const directory = join(folder, "asked");
  let asked: Promise<string> | undefined;
  await outcome({ checkpoint: { directory } }, {}, {}, (event, run) => {
    if (event.type === "step" && event.step === 2) asked = run.checkpoint();
  });
  expect(await asked).toMatch(/step-000000[2-4]$/);
});

/** A batch whose images make the loss infinite or undefined: normalised f32 pixels may hold anything. */
function batchWithNan(step: number, bad: number): TrainingBatch {
  const batch = tinyBatch(step);
  const images = Float32Array.from({ length: 8 * 3 * 16 * 16 }, (_, i) => Math.sin(i + step));
  if (step === bad) images.fill(Number.NaN, 0, 3 * 16 * 16);
  return { ...batch, tensors: { pixels: new HostTensor("f32", [8, 3, 16, 16], images) } };
}

test("a loss that is not a number ends the run, names the step, and changes nothing", async () => {
  const directory = join(folder, "nan");
  const images: NonNullable<TrainConfig["images"]> = ({ pixels }) => pixels!;
  const withBad = (bad: number, steps: number) => ({
    steps,
    images,
    schedule: { kind: "const" as const },
    data: batchesByStep((step) => batchWithNan(step, bad)),
  });
  const good = await outcome(withBad(-1, 3));
  const failed = await outcome({ ...withBad(3, 8), checkpoint: { directory, every: 2 } });
  expect(failed.error).toMatchObject({ code: "ERR_EVACLIP_NAN_LOSS", details: { step: 4 } });
  expect((failed.error as Error).message).toContain("step 4");
  expect(failed.content).toEqual(good.content);
  expect(await readdir(directory)).toEqual(expect.arrayContaining(["step-0000002", "step-0000003"]));
  const saved = await outcome({ steps: 3, checkpoint: { directory } }, { resume: "latest" }, { seed: 9 });
  expect(saved.content).toEqual(good.content);
});

test("an aborted signal saves a checkpoint and rejects with its reason", async () => {
  const directory = join(folder, "aborted");
  const controller = new AbortController();
  const reason = new Error("enough");
  const found = await outcome({ checkpoint: { directory } }, { signal: controller.signal }, {}, (event) => {
    if (event.type === "step" && event.step === 2) controller.abort(reason);
  });
  expect(found.error).toBe(reason);
  expect(await readdir(directory)).toContain("latest");
});

test("a signal interrupts waiting for data", async () => {
  const signal = AbortSignal.timeout(100);
  const data = batchesByStep(() => new Promise<TrainingBatch>(() => undefined));
  const { error } = await outcome({ data }, { signal });
  expect(error).toMatchObject({ name: "TimeoutError" });
});

test("data that end, and data that fail", async () => {
  async function* three() {
    for (let step = 0; step < 3; step++) yield tinyBatch(step);
  }
  expect((await outcome({ data: three() })).events.at(-1)).toMatchObject({ reason: "data_ended", step: 3 });
  const plain = await outcome({ data: three(), steps: 2, checkpoint: { directory: join(folder, "plain") } });
  expect(plain.events.at(-1)).toMatchObject({ reason: "finished" });
  const broken = batchesByStep((step) => {
    if (step === 2) throw new Error("the disk is gone");
    return tinyBatch(step);
  });
  const { error, events } = await outcome({ data: broken });
  expect(error).toMatchObject({ message: "the disk is gone" });
  expect(events.filter(({ type }) => type === "step")).toHaveLength(2);
});

test("patches are dropped until the last share of the run", async () => {
  const dropped = await outcome({ steps: 4, patchDropout: { rate: 0.75 } });
  const half = await outcome({ steps: 4, patchDropout: { rate: 0.75, undroppedEnd: 0.5 } });
  expect(losses(half).slice(0, 2)).toEqual(losses(dropped).slice(0, 2));
  expect(losses(half)[2]).not.toBe(losses(dropped)[2]);
});

test("towers, and parameters, may follow schedules of their own", async () => {
  const still = { kind: "const" as const };
  const one = await outcome({ steps: 3, schedule: still });
  const perTower = await outcome({ steps: 3, schedule: { image: still, text: still, other: still } });
  expect(perTower.content).toEqual(one.content);
  const mixed = { image: { warmupSteps: 3 }, text: still };
  const found = await outcome({ steps: 3, schedule: mixed });
  const same = await outcome({ steps: 3, schedule: ({ tower }) => (tower === "other" ? {} : mixed[tower]) });
  expect(same.content).toEqual(found.content);
  expect(found.content).not.toEqual(one.content);
  const rates = ({ events }: Outcome) =>
    events.flatMap((event) => (event.type === "step" ? [event.learningRate] : []));
  expect(rates(found)).toEqual([1e-3, 1e-3, 1e-3]);
});

test("layers are reported at the steps that ask for them", async () => {
  const usual = await outcome({ steps: 4 });
  const { events, content } = await outcome({ steps: 4, detail: { every: 2 } });
  expect(content).toEqual(usual.content);
  const reported = events.flatMap((event) => (event.type === "layers" ? [event] : []));
  expect(reported.map(({ step }) => step)).toEqual([2, 4]);
  expect(reported[0]!.layers.logit_scale!.gradientNorm).toBeGreaterThan(0);
});

test("evaluations are run between steps, and at the end", async () => {
  const at: number[] = [];
  const evaluate = {
    every: 3,
    run: async (step: number) => {
      at.push(step);
      return { score: step };
    },
  };
  const { events } = await outcome({ steps: 4, evaluate });
  expect(at).toEqual([3, 4]);
  expect(events).toContainEqual({ type: "evaluate", step: 3, metrics: { score: 3 } });
});

test("an evaluation that measured nothing is no event", async () => {
  const evaluate = {
    every: 1,
    run: async (step: number) => [{}, { score: step }, undefined][step - 1] as Record<string, number>,
  };
  const { events } = await outcome({ steps: 3, evaluate });
  expect(events.filter(({ type }) => type === "evaluate")).toEqual([
    { type: "evaluate", step: 2, metrics: { score: 2 } },
  ]);
});

test("a batch is prepared while the device runs the step before it", async () => {
  const order: string[] = [];
  const data = batchesByStep((step) => {
    order.push(`prepare ${step}`);
    return tinyBatch(step, 128); // a step that takes a while
  });
  await outcome({ steps: 3, data }, {}, {}, (event) => {
    if (event.type === "step") order.push(`done ${event.step - 1}`);
  });
  expect(order.indexOf("prepare 1")).toBeLessThan(order.indexOf("done 0"));
  expect(order.filter((entry) => entry.startsWith("prepare"))).toHaveLength(3);
});

test.each([
  ["steps", { steps: 0 }],
  ["seed", { seed: 0.5 }],
  ["patchDropout.rate", { patchDropout: { rate: 2 } }],
  ["checkpoint.every", { checkpoint: { directory: "x", every: 0 } }],
  ["warmupSteps", { schedule: { warmupSteps: -1 } }],
])("refuses a wrong %s at once", async (name, wrong) => {
  const { model, optimizer } = await tinyTraining(device);
  const config = { device, model, optimizer, data: batchesByStep(tinyBatch), steps: 1, ...wrong };
  expect(() => train(config as TrainConfig)).toThrow(name);
  model.dispose();
});
