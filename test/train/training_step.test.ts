import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Device } from "../../lib/device";
import type { FloatDType } from "../../lib/ops/elementwise";
import type { TowerLocks } from "../../lib/optim/tower_locks";
import { TrainingStep } from "../../lib/train/training_step";
import { contentOf, tinyBatch, tinyTraining } from "../support/tiny_clip";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

/** Bytes in memory after everything unreachable has been collected. */
function residentBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  return process.memoryUsage().rss;
}

test("a steady step allocates nothing: arena and resident memory stay as they are", async () => {
  const { model, optimizer } = await tinyTraining(device);
  await optimizer.allocate(device);
  const step = new TrainingStep({ device, model, optimizer });
  const batches = Array.from({ length: 4 }, (_, i) => tinyBatch(i));
  const run = async (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      await step.run(batches[i % 4]!, {
        step: i,
        learningRates: optimizer.learningRatesAt(1),
        seed: 0,
        patchDropout: 0.5,
      });
    }
  };
  await run(0, 100);
  const { arenaBytes } = await device.memory();
  // The process around a step grows now and then; what a step leaks grows in every round.
  const growths: number[] = [];
  for (let round = 0; round < 5; round++) {
    const before = residentBytes();
    await run(0, 400);
    growths.push(residentBytes() - before);
  }
  expect((await device.memory()).arenaBytes).toBe(arenaBytes);
  expect(Math.min(...growths)).toBeLessThan(256 * 2 ** 10); // 655 bytes per step
  step.dispose();
  optimizer.dispose();
});

test("a shape or a rate of dropping that is new makes a new program; known ones are kept", async () => {
  const { model, optimizer } = await tinyTraining(device);
  await optimizer.allocate(device);
  const step = new TrainingStep({ device, model, optimizer });
  const time = { step: 0, learningRates: optimizer.learningRatesAt(0), seed: 3 };
  const whole = await step.run(tinyBatch(0), { ...time, patchDropout: 0 });
  const dropped = await step.run(tinyBatch(0), { ...time, patchDropout: 0.5 });
  const fewer = await step.run(tinyBatch(0, 5), { ...time, patchDropout: 0 });
  expect(dropped.loss).not.toBe(whole.loss);
  expect(fewer.loss).not.toBe(whole.loss);
  // With a factor of 0 nothing has changed: the same batch gives the same numbers.
  expect(await step.run(tinyBatch(0), { ...time, patchDropout: 0 })).toEqual(whole);
  expect(await step.run(tinyBatch(0), { ...time, patchDropout: 0.5 })).toEqual(dropped);
  step.dispose();
  optimizer.dispose();
});

test("a step with a staged batch is the step without, and serves the program that was chosen", async () => {
  const { model, optimizer } = await tinyTraining(device);
  await optimizer.allocate(device);
  const step = new TrainingStep({ device, model, optimizer });
  const kind = { patchDropout: 0.5 };
  const time = { step: 4, learningRates: optimizer.learningRatesAt(0), seed: 3, ...kind };
  expect(await step.stage(tinyBatch(1), kind)).toBeUndefined(); // it records no program
  const plain = await step.run(tinyBatch(1), time);
  const staged = await step.stage(tinyBatch(1), kind);
  expect(staged!.names).toContain("images");
  expect(await step.run(tinyBatch(1), time, staged)).toEqual(plain);
  await expect(step.run(tinyBatch(1), time, staged)).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
  });
  expect(await step.stage(tinyBatch(1), { ...kind, detail: true })).toBeUndefined();
  expect(await step.stage(tinyBatch(1, 5), kind)).toBeUndefined();
  const { images, ...withoutImages } = tinyBatch(1);
  expect(await step.stage(withoutImages, kind)).toBeUndefined();
  await expect(step.stage({ ...withoutImages, images: images!.slice(1) }, kind)).rejects.toThrow();
  const unused = await step.stage(tinyBatch(2), kind);
  step.dispose();
  unused!.dispose();
  optimizer.dispose();
});

test("dropping none of the patches equals not dropping", async () => {
  const { model, optimizer } = await tinyTraining(device);
  await optimizer.allocate(device);
  const step = new TrainingStep({ device, model, optimizer });
  const none = await step.run(tinyBatch(1), {
    step: 0,
    learningRates: optimizer.learningRatesAt(0),
    seed: 3,
    patchDropout: 0,
  });
  const other = await step.run(tinyBatch(1), {
    step: 5,
    learningRates: optimizer.learningRatesAt(0),
    seed: 9,
    patchDropout: 0,
  });
  expect(other).toEqual(none);
  step.dispose();
  optimizer.dispose();
});

test("bf16 activations reach the loss as they are, and train as f32 does", async () => {
  async function train(type: FloatDType) {
    const { model, optimizer } = await tinyTraining(device, { type, learningRate: 5e-3 });
    await optimizer.allocate(device);
    const step = new TrainingStep({ device, model, optimizer });
    const losses: number[] = [];
    for (let i = 0; i < 60; i++) {
      const result = await step.run(tinyBatch(i % 4), {
        step: i,
        learningRates: optimizer.learningRatesAt(1),
        seed: 0,
        patchDropout: 0,
      });
      losses.push(result.loss);
    }
    const [program] = await step.programs();
    program!.startProfile();
    await step.run(tinyBatch(0), {
      step: 60,
      learningRates: optimizer.learningRatesAt(0),
      seed: 0,
      patchDropout: 0,
    });
    const casts = (await program!.profile()).filter(({ op }) => op === "cast");
    step.dispose();
    optimizer.dispose();
    return { first: losses[0]!, last: losses.slice(-8).reduce((sum, loss) => sum + loss / 8, 0), casts };
  }
  const [exact, rounded] = [await train("f32"), await train("bf16")];
  expect(exact.casts).toHaveLength(0);
  expect(rounded.casts.length).toBeGreaterThan(0);
  expect(Math.abs(rounded.first - exact.first)).toBeLessThan(0.02 * exact.first);
  expect(exact.last).toBeLessThan(0.6 * exact.first);
  expect(rounded.last).toBeLessThan(0.6 * exact.first);
  expect(Math.abs(rounded.last - exact.last)).toBeLessThan(0.1 * exact.first);
});

describe("a locked tower", () => {
  /** One step on the same batch, and what the program for it takes. */
  async function stepWith(locks: TowerLocks) {
    const { model, optimizer } = await tinyTraining(device, { locks });
    await optimizer.allocate(device);
    const before = await contentOf(model.parameters());
    const step = new TrainingStep({ device, model, optimizer });
    const result = await step.run(tinyBatch(0), {
      step: 0,
      learningRates: optimizer.learningRatesAt(1),
      seed: 3,
      patchDropout: 0.5,
    });
    const after = await contentOf(model.parameters());
    const [program] = await step.programs();
    const { kernels } = program!.stats();
    program!.startProfile();
    await step.run(tinyBatch(0), {
      step: 1,
      learningRates: optimizer.learningRatesAt(0),
      seed: 3,
      patchDropout: 0.5,
    });
    const ops = (await program!.profile()).map(({ op }) => op);
    const changed = Object.keys(after).filter((name) => String(after[name]) !== String(before[name]));
    step.dispose();
    optimizer.dispose();
    return { result, kernels, ops, changed, moments: optimizer.state().map(({ name }) => name) };
  }

  test("costs no backward work and no moments, and its weights stay", async () => {
    const whole = await stepWith({});
    const locked = await stepWith({ image: {} });
    expect(locked.kernels).toBeLessThan(whole.kernels);
    expect(whole.ops).toContain("swiglu_backward"); // only the image tower has one
    expect(locked.ops).not.toContain("swiglu_backward");
    expect(locked.moments.filter((name) => name.includes("visual."))).toEqual([]);
    expect(locked.changed.filter((name) => name.startsWith("visual."))).toEqual([]);
    expect(locked.changed).toContain("text.text_projection");
    expect(locked.changed).toContain("logit_scale");
  });

  test("still drops patches in training", async () => {
    expect((await stepWith({ image: {} })).result.loss).toBe((await stepWith({})).result.loss);
  });

  test("backward work goes no deeper than what is unlocked", async () => {
    const [last, two] = [await stepWith({ image: { unlockedGroups: 2 } }), await stepWith({ image: {} })];
    const whole = await stepWith({});
    expect(two.kernels).toBeLessThan(last.kernels);
    expect(last.kernels).toBeLessThan(whole.kernels);
    expect(last.changed.some((name) => name.startsWith("visual.blocks.1."))).toBe(true);
    expect(last.changed.some((name) => name.startsWith("visual.blocks.0."))).toBe(false);
  });
});

test("detail reports every parameter's gradient norm and trust ratio, and changes no other number", async () => {
  async function firstStep(detail: boolean, kind: "adamw" | "lamb" = "lamb") {
    const { model, optimizer } = await tinyTraining(device, { optimizer: kind });
    await optimizer.allocate(device);
    const step = new TrainingStep({ device, model, optimizer });
    const learningRates = optimizer.learningRatesAt(1);
    const time = { step: 0, learningRates, seed: 3, patchDropout: 0, detail };
    const result = await step.run(tinyBatch(0), time);
    const content = await contentOf(model.parameters());
    const names = optimizer.parameters.map(({ name }) => name);
    step.dispose();
    optimizer.dispose();
    return { result, content, names };
  }
  const [usual, detailed] = [await firstStep(false), await firstStep(true)];
  const { layers, ...rest } = detailed.result;
  expect(rest).toEqual(usual.result);
  expect(detailed.content).toEqual(usual.content);
  expect(Object.keys(layers!)).toEqual(detailed.names);
  const squares = Object.values(layers!).map(({ gradientNorm }) => gradientNorm ** 2);
  expect(Math.sqrt(squares.reduce((sum, square) => sum + square, 0)) / rest.gradientNorm).toBeCloseTo(1, 5);
  expect(layers!.logit_scale).toEqual({ gradientNorm: expect.any(Number), trustRatio: 1 });
  expect(layers!["visual.head.weight"]!.trustRatio).not.toBe(1);
  expect((await firstStep(true, "adamw")).result.layers!.logit_scale).not.toHaveProperty("trustRatio");
});
