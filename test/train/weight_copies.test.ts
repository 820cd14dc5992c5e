import { Device } from "../../lib/device";
import { clampUpdate } from "../../lib/ops/optimizer";
import type { Parameter } from "../../lib/parameter";
import { clampLogitScale } from "../../lib/train/objective/after_update";
import type { TrainConfig } from "../../lib/train/train_config";
import { TrainingStep } from "../../lib/train/training_step";
import { contentOf, tinyBatch, tinyTraining } from "../support/tiny_clip";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

/** A model in bf16, and a function that runs `count` steps of its training. */
async function training(optimizer: "adamw" | "lamb", more: Partial<TrainConfig> = {}) {
  const made = await tinyTraining(device, { type: "bf16", optimizer, learningRate: 1e-2 });
  await made.optimizer.allocate(device);
  const start = () => new TrainingStep({ device, ...made, ...more });
  let step = start();
  let done = 0;
  const run = async (count: number, learningRate = 1) => {
    const results = [];
    for (let i = 0; i < count; i++, done++) {
      const learningRates = made.optimizer.learningRatesAt(learningRate);
      results.push(
        await step.run(tinyBatch(done % 2), { step: done, learningRates, seed: 0, patchDropout: 0 }),
      );
    }
    return results.map(({ loss }) => loss);
  };
  const restart = () => {
    step.dispose();
    step = start();
  };
  const dispose = () => {
    step.dispose();
    made.optimizer.dispose();
    made.model.dispose();
  };
  const ops = async () => {
    const programs = await step.programs();
    for (const program of programs) await program.startProfile();
    await run(2);
    return (await Promise.all(programs.map((program) => program.profile()))).flat().map(({ op }) => op);
  };
  return { ...made, run, restart, ops, dispose };
}

const weightsOf = (parameters: readonly Parameter[]) => parameters.filter(({ shape }) => shape.length === 2);

describe.each(["adamw", "lamb"] as const)("bf16 copies of weights, with %s", (optimizer) => {
  test("a steady step converts no block's weights, and trains like one that rounds them anew", async () => {
    const [kept, renewed] = [await training(optimizer), await training(optimizer)];
    const losses = await kept.run(5);
    const again: number[] = [];
    for (let i = 0; i < 5; i++) {
      again.push(...(await renewed.run(1)));
      renewed.restart();
    }
    expect(again).toEqual(losses);
    const contents = await Promise.all(
      [kept, renewed].map(async ({ model }) => JSON.stringify(await contentOf(model.parameters()))),
    );
    expect(contents[0] === contents[1]).toBe(true); // a difference would take minutes to print
    const weights = weightsOf(kept.model.parameters()).length;
    expect((await kept.ops()).filter((op) => op === "cast").length).toBeLessThan(weights);
    expect(await kept.ops()).not.toContain("cast_update");
    kept.dispose();
    renewed.dispose();
  });

  test("follow weights that are written between two steps", async () => {
    const { model, run, dispose } = await training(optimizer);
    const before = await Promise.all(model.parameters().map((parameter) => parameter.read()));
    const [first] = await run(2);
    await run(1, 0);
    for (const [i, parameter] of model.parameters().entries()) await parameter.write(before[i]!.data);
    await run(1, 0);
    const [again] = await run(1, 0);
    expect(again).toBe(first);
    dispose();
  });

  test("follow weights that are changed after the update", async () => {
    const limited: Partial<TrainConfig> = {
      afterUpdate: (given) => {
        clampUpdate(weightsOf(given.model.parameters()), -0.05, 0.05);
        return clampLogitScale(given);
      },
    };
    const [kept, renewed] = [await training(optimizer, limited), await training(optimizer, limited)];
    const losses = await kept.run(4);
    for (const loss of losses) {
      expect((await renewed.run(1))[0]).toBe(loss);
      renewed.restart();
    }
    kept.dispose();
    renewed.dispose();
  });
});
