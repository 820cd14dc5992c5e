import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
import { HostTensor } from "../../lib/host_tensor";
import { multiply } from "../../lib/ops/elementwise";
import { Parameter } from "../../lib/parameter";
import { batchesByStep } from "../../lib/train/batch_source";
import { clipObjective } from "../../lib/train/objective/clip_objective";
import { type MovingAverage, movingAverage } from "../../lib/train/objective/moving_average";
import type { Objective } from "../../lib/train/objective/objective";
import { type TrainOptions, train } from "../../lib/train/train";
import { TrainingStep } from "../../lib/train/training_step";
import { openWeights } from "../../lib/weights/open_weights";
import { relativeError } from "../support/numbers";
import { contentOf, tinyBatch, tinyTraining } from "../support/tiny_clip";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-average-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

const values = (parameters: readonly Parameter[]) =>
  Promise.all(parameters.map(async (parameter) => (await parameter.read()).data as Float32Array));

/** CLIP's loss times the batch's `factor`, so that a step can have gradients that are not numbers. */
const objective: Objective = (step) => {
  const { loss, metrics = {} } = clipObjective(step);
  return { loss: multiply(loss, step.tensors.factor!), metrics };
};

/** A model whose steps are run one by one, with averages of its parameters. */
async function steppedTraining(decay: number) {
  const { model, optimizer } = await tinyTraining(device, { learningRate: 0.01 });
  await optimizer.allocate(device);
  const parameters = model.parameters();
  const average = movingAverage(parameters, { decay });
  const { afterUpdate } = average;
  const step = new TrainingStep({ device, model, optimizer, objective, afterUpdate });
  const run = (number: number, factor = 1) => {
    const tensors = { factor: new HostTensor("f32", [], Float32Array.of(factor)) };
    const learningRates = optimizer.learningRatesAt(1);
    return step.run(
      { ...tinyBatch(number), tensors },
      { step: number, learningRates, seed: 5, patchDropout: 0 },
    );
  };
  const dispose = () => {
    for (const owner of [step, average, optimizer, ...parameters]) owner.dispose();
  };
  return { model, parameters, average, run, dispose };
}

test("averages start at the parameters and follow the formula, except where an update changes nothing", async () => {
  const decay = 0.75;
  const { parameters, average, run, dispose } = await steppedTraining(decay);
  await average.allocate(device);
  const expected = (await values(parameters)).map((data) => Float64Array.from(data));
  expect(await values(average.averages)).toEqual(await values(parameters));
  for (const [number, factor] of [1, 1, Number.NaN, 1].entries()) {
    const { gradientNorm } = await run(number, factor);
    expect(Number.isFinite(gradientNorm)).toBe(Number.isFinite(factor));
    const now = await values(parameters);
    for (const [i, all] of expected.entries())
      if (Number.isFinite(factor)) all.forEach((value, j) => (all[j] = value + 0.25 * (now[i]![j]! - value)));
    const found = await values(average.averages);
    found.forEach((data, i) => expect(relativeError(data, expected[i]!)).toBeLessThan(1e-6));
  }
  // They lag behind: the test would not see averages that are copies.
  const [found, now] = [await values(average.averages), await values(parameters)];
  expect(found.some((data, i) => relativeError(data, now[i]!) > 1e-3)).toBe(true);
  dispose();
});

test("the logit scale is clamped before it is averaged", async () => {
  const { model, average, run, dispose } = await steppedTraining(0);
  await model.logitScale.write(Float32Array.of(9));
  await average.allocate(device);
  await run(0);
  const scale = average.averages.find(({ name }) => name === model.logitScale.name)!;
  expect((await scale.read()).item()).toBeCloseTo(Math.log(100), 5);
  dispose();
});

/** A run of four steps in a folder of its own, its averages at the end, and its newest checkpoint. */
async function run(name: string, options: TrainOptions = {}, stopAt?: number) {
  const { model, optimizer } = await tinyTraining(device);
  const average = movingAverage(model.parameters(), { decay: 0.9 });
  await average.allocate(device);
  const { afterUpdate, parameterGroups } = average;
  const checkpoint = { directory: join(folder, name) };
  const data = batchesByStep((step) => tinyBatch(step));
  const config = {
    device,
    model,
    optimizer,
    data,
    steps: 4,
    seed: 5,
    afterUpdate,
    parameterGroups,
    checkpoint,
  };
  const started = train(config, options);
  for await (const event of started) if (event.type === "step" && event.step === stopAt) started.stop();
  const result = await started.result;
  const found = await contentOf(average.averages);
  for (const owner of [average, optimizer, ...model.parameters()]) owner.dispose();
  return { averages: found, checkpoint: result.checkpoint! };
}

test("a resumed run continues the averages, bit for bit, and their file has the names of the model's", async () => {
  const whole = await run("whole");
  const part = await run("part", {}, 2);
  expect(part.averages).not.toEqual(whole.averages);
  const resumed = await run("part", { resume: "latest" });
  expect(resumed.averages).toEqual(whole.averages);
  const files = await Promise.all(
    ["ema", "model"].map((group) => openWeights(join(whole.checkpoint, `${group}.safetensors`))),
  );
  const [names, modelNames] = files.map(({ tensors }) => [...tensors.keys()].sort());
  expect(names).toEqual(modelNames);
  for (const file of files) await file.close();
});

test.each<[string, () => MovingAverage]>([
  ["decay must be less than 1, as f32", () => movingAverage([new Parameter("a", [1])], { decay: 1 - 1e-9 })],
  ["decay must be at least 0", () => movingAverage([new Parameter("a", [1])], { decay: -1 })],
  ["found no parameter", () => movingAverage([], { decay: 0.9 })],
  [
    "found two parameters of one name",
    () => movingAverage([new Parameter("a", [1]), new Parameter("a", [2])], { decay: 0.9 }),
  ],
])("refuses: %s", (message, make) => {
  const expected = { code: "ERR_EVACLIP_INVALID_ARGUMENT", message: expect.stringContaining(message) };
  expect(make).toThrow(expect.objectContaining(expected));
});

test("needs f32 parameters in memory, and memory that was not given before", async () => {
  const parameter = new Parameter("a", [2]);
  const average = movingAverage([parameter], { decay: 0.9 });
  const refusal = (message: string) => ({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(message),
  });
  await expect(average.allocate(device)).rejects.toMatchObject(refusal("a is not allocated"));
  parameter.allocate(device, "bf16");
  await expect(average.allocate(device)).rejects.toMatchObject(refusal("a is bf16"));
  parameter.dispose();
  parameter.allocate(device);
  await parameter.write(Float32Array.of(1, 2));
  await average.allocate(device);
  await expect(average.allocate(device)).rejects.toMatchObject(refusal("has storage already"));
  expect(await values(average.averages)).toEqual([Float32Array.of(1, 2)]);
  average.dispose();
  expect(average.averages[0]!.allocated).toBe(false);
  parameter.dispose();
});
