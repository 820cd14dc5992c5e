import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
import { HostTensor } from "../../lib/host_tensor";
import { SIGLIP_LOGITS } from "../../lib/models/clip_model";
import { mean, sum } from "../../lib/ops/reduce";
import { add, multiply, scale } from "../../lib/ops/elementwise";
import { matmul } from "../../lib/ops/linear";
import { clampUpdate } from "../../lib/ops/optimizer";
import { Parameter } from "../../lib/parameter";
import { constant } from "../../lib/tensor";
import { batchesByStep } from "../../lib/train/batch_source";
import { clampLogitScale } from "../../lib/train/objective/after_update";
import { clipObjective } from "../../lib/train/objective/clip_objective";
import type { Objective } from "../../lib/train/objective/objective";
import { siglipObjective } from "../../lib/train/objective/siglip_objective";
import type { TrainOptions } from "../../lib/train/train";
import type { TrainConfig } from "../../lib/train/train_config";
import type { StepEvent } from "../../lib/train/train_events";
import { tinyBatch } from "../support/tiny_clip";
import { type Outcome, trainTiny } from "../support/train_tiny";

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-objective-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

const steps = ({ events }: Outcome): StepEvent[] =>
  events.flatMap((event) => (event.type === "step" ? [event] : []));

test("the default is CLIP's loss, and a metric of one's own joins the events and the metrics file", async () => {
  const metricsFile = join(folder, "metrics.jsonl");
  const objective: Objective = (step) => {
    const { loss, metrics } = clipObjective(step);
    return { loss, metrics: { ...metrics, doubled: scale(loss, 2), bias: step.tensors.bias! } };
  };
  const data = batchesByStep((step) => ({
    ...tinyBatch(step),
    tensors: { bias: new HostTensor("f32", [], Float32Array.of(step)) },
  }));
  const [usual, found] = [
    await trainTiny(device, { steps: 3 }),
    await trainTiny(device, { steps: 3, data, objective, metricsFile }),
  ];
  expect(found.content).toEqual(usual.content);
  const [first] = steps(usual);
  expect(first).toMatchObject({ imageAccuracy: expect.any(Number), textAccuracy: expect.any(Number) });
  expect(first!.metrics).toEqual({});
  expect(steps(found).map(({ metrics }) => metrics)).toEqual(
    steps(found).map(({ loss }, i) => ({ doubled: Math.fround(2 * loss), bias: i })),
  );
  const lines = (await readFile(metricsFile, "utf8")).trim().split("\n");
  expect(JSON.parse(lines[2]!)).toEqual(steps(found)[2]);
});

test("towers are recorded once, however often an objective asks for their embeddings", async () => {
  let same = false;
  await trainTiny(device, {
    steps: 1,
    objective: (step) => {
      const [image, text] = [step.encodeImages(), step.encodeTexts()];
      same = step.encodeImages() === image && step.encodeTexts() === text;
      return clipObjective(step);
    },
  });
  expect(same).toBe(true);
});

test.each<[string, Partial<TrainConfig>]>([
  ["the metric loss needs another name", { objective: metric("loss", []) }],
  ["the metric vector must be a scalar f32, found f32 [2]", { objective: metric("vector", [2]) }],
  ["the metric imageAccuracy needs another name", { afterUpdate: () => ({ imageAccuracy: constant(1) }) }],
  [
    "the result of config.objective must be an object, found undefined",
    { objective: (() => undefined) as never },
  ],
  [
    "the result of config.objective must be an object",
    { objective: (async (step: never) => clipObjective(step)) as never },
  ],
  ["the result of config.objective.loss must be a tensor", { objective: (() => ({ loss: 1 })) as never }],
  ["metrics.norm must be a tensor or a parameter, found 5", { afterUpdate: (() => ({ norm: 5 })) as never }],
  [
    "another name than seed",
    { data: batchesByStep((step) => ({ ...tinyBatch(step), tensors: { seed: one } })) },
  ],
  ["the batch has no images", { data: batchesByStep((step) => withoutImages(step)) }],
  ["the loss does not depend on logit_scale", { objective: (step) => ({ loss: mean(step.encodeImages()) }) }],
])("refuses: %s", async (message, config) => {
  const { error } = await trainTiny(device, { steps: 1, ...config });
  expect(error).toMatchObject({ message: expect.stringContaining(message) });
});

const one = new HostTensor("f32", [], Float32Array.of(1));

function withoutImages(step: number) {
  const { images: _, ...batch } = tinyBatch(step);
  return batch;
}

function metric(name: string, shape: number[]): Objective {
  return (step) => ({
    loss: clipObjective(step).loss,
    metrics: { [name]: constant(new Float32Array(shape[0] ?? 1), shape) },
  });
}

test("what follows the update replaces the clamp of the logit scale, and reports metrics", async () => {
  const afterUpdate: TrainConfig["afterUpdate"] = ({ model, gradientNorm }) => {
    clampUpdate([model.logitScale], 0, 0.5);
    return { norm: gradientNorm };
  };
  const found = await trainTiny(device, { steps: 2, afterUpdate });
  expect(steps(found)[0]!.logitScale).toBe(Math.exp(0.5));
  for (const { metrics, gradientNorm } of steps(found)) expect(metrics).toEqual({ norm: gradientNorm });
  const usual = await trainTiny(device, { steps: 2 });
  const same = await trainTiny(device, { steps: 2, afterUpdate: clampLogitScale });
  expect(same.content).toEqual(usual.content);
});

describe("siglipObjective", () => {
  test("trains scale and bias from the published values, and the loss falls below that of guessing", async () => {
    const found = await trainTiny(
      device,
      { steps: 80, objective: siglipObjective, schedule: { kind: "const" } },
      {},
      { learningRate: 5e-3, config: SIGLIP_LOGITS },
    );
    expect(found.error).toBeUndefined();
    const seen = steps(found);
    expect(seen[0]!.logitScale).toBeCloseTo(10, 0);
    expect(seen[0]!.metrics.logitBias).toBeCloseTo(-10, 1);
    expect(seen[0]).not.toHaveProperty("imageAccuracy");
    const last = seen.slice(-10).map(({ loss }) => loss);
    // Every score at its best constant: -log(1/8) - 7 log(7/8) per image.
    expect(Math.max(...last)).toBeLessThan(Math.log(8) - 7 * Math.log(7 / 8));
    expect(found.content.logit_bias![0]).toBeGreaterThan(-10);
  });

  test("needs a logit bias, which CLIP's loss cannot train", async () => {
    const without = await trainTiny(device, { steps: 1, objective: siglipObjective });
    expect(without.error).toMatchObject({ message: expect.stringContaining("init_logit_bias") });
    const unused = await trainTiny(device, { steps: 1 }, {}, { config: SIGLIP_LOGITS });
    expect(unused.error).toMatchObject({ message: "the loss does not depend on logit_bias" });
  });
});

describe("parameters of the objective's own", () => {
  /** Regresses a target from the image's embedding by a projection that the model does not hold. */
  const projection = () => new Parameter("projection", [16, 4], { initial: { kind: "normal", std: 0.1 } });
  const objectiveWith =
    (own: Parameter): Objective =>
    (step) => {
      const difference = add(matmul(step.encodeImages(), own), constant(-1));
      const { loss, metrics = {} } = clipObjective(step);
      return { loss: add(loss, sum(multiply(difference, difference))), metrics };
    };
  const run = (
    name: string,
    own: Parameter,
    config: Partial<TrainConfig> = {},
    options: TrainOptions = {},
    stopAt?: number,
  ) => {
    const checkpoint = { directory: join(folder, name) };
    const more = {
      steps: 4,
      objective: objectiveWith(own),
      parameterGroups: { projection: [own] },
      checkpoint,
    };
    return trainTiny(device, { ...more, ...config }, options, { own: [own] }, (event, started) => {
      if (event.type === "step" && event.step === stopAt) started.stop();
    });
  };
  const values = async (own: Parameter) => Array.from((await own.read()).data);

  test("are trained, saved, and the same after a resume, bit for bit", async () => {
    const [whole, part, rest] = [projection(), projection(), projection()];
    const { content } = await run("whole", whole);
    await run("part", part, {}, {}, 2);
    expect(await values(part)).not.toEqual(await values(whole));
    const resumed = await run("part", rest, {}, { resume: "latest" });
    expect(resumed.error).toBeUndefined();
    expect(resumed.content).toEqual(content);
    expect(await values(rest)).toEqual(await values(whole));
    for (const own of [whole, part, rest]) own.dispose();
  });

  test("must be in a group where there are checkpoints", async () => {
    const own = projection();
    await expect(run("lost", own, { parameterGroups: {} })).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
      message: expect.stringContaining("checkpoints would lack projection"),
    });
    own.dispose();
  });
});

test("a group that only the checkpoint or only the run has ends a resume, unless it is ignored", async () => {
  const average = new Parameter("average", [2]);
  average.allocate(device);
  await average.write(Float32Array.of(1, 2));
  const config = (name: string, steps: number) => ({ steps, checkpoint: { directory: join(folder, name) } });
  await trainTiny(device, { ...config("more", 1), parameterGroups: { average: [average] } });
  await trainTiny(device, config("less", 1));
  const resume = "latest";
  const more = await trainTiny(device, config("more", 2), { resume });
  expect(more.error).toMatchObject({
    code: "ERR_EVACLIP_CHECKPOINT_MISMATCH",
    message: expect.stringMatching(/parameter group average, which is not read.*ignore: \["average"\]/),
  });
  const less = await trainTiny(
    device,
    { ...config("less", 2), parameterGroups: { average: [average] } },
    { resume },
  );
  expect(less.error).toMatchObject({
    message: expect.stringContaining("it lacks the parameter group average"),
  });
  const ignored = await trainTiny(device, config("more", 2), { resume, ignore: ["average"] });
  expect(ignored.result).toMatchObject({ reason: "finished", step: 2 });
  average.dispose();
});
