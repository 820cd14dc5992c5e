import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Device } from "../../lib/device";
import { siglipObjective } from "../../lib/train/objective/siglip_objective";
import { trainRecipe } from "../../lib/train/recipe/recipe";
import type { RecipeOptions } from "../../lib/train/recipe/recipe_options";
import type { StepEvent, TrainEvent } from "../../lib/train/train_events";
import { numberedDataset } from "../data/sample_files";

// The tokenizer's vocabulary is CLIP's; everything else is as small as it can be.
const model = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};
const data = numberedDataset(8, 20);

let device: Device;
let folder: string;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "eva-clip-recipe-"));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true });
});

const recipe = (more: Partial<RecipeOptions> = {}): RecipeOptions => ({
  model,
  init: "fan_in",
  trainData: data,
  batchSize: 4,
  steps: 3,
  learningRate: 2e-3,
  device,
  ...more,
});

/** A whole run: its events and its result. */
async function outcome(more: Partial<RecipeOptions> = {}) {
  await using run = await trainRecipe(recipe(more));
  const events: TrainEvent[] = [];
  for await (const event of run) events.push(event);
  return { events, result: await run.result };
}
const stepsOf = ({ events }: { events: readonly TrainEvent[] }) =>
  events.filter((event): event is StepEvent => event.type === "step");

test("a run in a folder leaves settings, metrics and checkpoints, and can be resumed", async () => {
  const directory = join(folder, "run");
  const { events, result } = await outcome({ folder: directory, checkpoint: { everySteps: 2 } });
  expect(result).toMatchObject({ reason: "finished", step: 3 });
  expect(events.map(({ type }) => type)).toEqual("start step step checkpoint step checkpoint end".split(" "));
  expect((await readdir(directory)).sort()).toEqual(["checkpoints", "metrics.jsonl", "params.json"]);
  const settings = JSON.parse(await readFile(join(directory, "params.json"), "utf8")) as unknown;
  expect(settings).toMatchObject({ precision: "f32", batchSize: 4, seed: 0, device: "a Device" });

  const resumed = await outcome({ folder: directory, steps: 4, resume: "latest" });
  expect(stepsOf(resumed).map(({ step }) => step)).toEqual([4]);
  await expect(trainRecipe(recipe({ folder: directory }))).rejects.toMatchObject({
    code: "ERR_EVACLIP_RUN_EXISTS",
  });
});

test("without a folder nothing is written, and the length is that of the epochs", async () => {
  const { events, result } = await outcome({ steps: undefined as never, epochs: 2 });
  expect(result).toMatchObject({ step: 4, checkpoint: undefined });
  expect(events.some(({ type }) => type === "checkpoint")).toBe(false);
});

test("towers have their own learning rate, or none when frozen", async () => {
  await using run = await trainRecipe(
    recipe({
      imageTower: { freeze: { unlockedGroups: 1 } },
      textTower: { learningRate: 0.5, weightDecay: 0 },
    }),
  );
  const rates = new Map(run.config.optimizer.rules.map(({ parameter, ...rule }) => [parameter.name, rule]));
  expect([...rates.keys()].filter((name) => name.startsWith("visual."))).toEqual([
    "visual.head.weight",
    "visual.head.bias",
  ]);
  expect(rates.get("visual.head.weight")).toMatchObject({ learningRate: 2e-3, weightDecay: 0.05 });
  expect(rates.get("text.token_embedding.weight")).toMatchObject({ learningRate: 0.5, weightDecay: 0 });
});

test("evaluations run after their epochs and at the end", async () => {
  const log: string[] = [];
  const { events } = await outcome({
    steps: 5,
    evaluation: { retrieval: { data, everyEpochs: 2, samples: 6 } },
    logger: { info: (message) => log.push(message), warn: (message) => log.push(message) },
  });
  const found = events.filter((event) => event.type === "evaluate");
  expect(found.map(({ step }) => step)).toEqual([4, 5]);
  expect(Object.keys(found[0]!.metrics)).toContain("image_to_text_R@10");
  expect(log.join("\n")).toContain("retrieval among 6 images");
});

test("SigLIP's loss and logits by name, and an objective of one's own", async () => {
  const named = stepsOf(await outcome({ loss: "siglip" }));
  expect(named[0]!.metrics.logitBias).toBeCloseTo(-10, 1);
  expect(named[0]!.logitScale).toBeCloseTo(10, 1);
  const own = await outcome({ model: { ...model, init_logit_bias: -10 }, objective: siglipObjective });
  expect(stepsOf(own)[0]!.metrics).toHaveProperty("logitBias");
});

test("disposing stops the run, frees the model, and leaves a device that was passed open", async () => {
  const run = await trainRecipe(recipe({ steps: 10_000 }));
  await run.dispose();
  await expect(run.result).resolves.toMatchObject({ reason: "stopped" });
  expect(run.config.model.parameters().every(({ allocated }) => !allocated)).toBe(true);
  expect((await device.memory()).arenaBytes).toBeGreaterThanOrEqual(0);
});

test("an aborted signal ends the run with its reason", async () => {
  const abort = new AbortController();
  await using run = await trainRecipe(recipe({ steps: 10_000, signal: abort.signal }));
  const reading = (async () => {
    for await (const event of run) if (event.type === "step") abort.abort(new Error("enough"));
  })();
  await expect(reading).rejects.toThrow("enough");
  await expect(run.result).rejects.toThrow("enough");
  await expect(trainRecipe(recipe({ signal: abort.signal }))).rejects.toThrow("enough");
});

test.each<[string, Partial<Record<keyof RecipeOptions, unknown>>]>([
  ["options.batchSize must be at least 1", { batchSize: 0 }],
  ["options.batchSize is 64, more than the 8 samples", { batchSize: 64, steps: undefined }],
  ["options has no field", { learningrate: 1 } as never],
  ["options.imageTower.freeze must be true, false", { imageTower: { freeze: "yes" } }],
  ["options.lambVariant needs", { lambVariant: "paper" }],
  ["options.schedule.cooldownEpochs needs", { schedule: { cooldownEpochs: 1 } }],
  ["options.schedule.kind const-cooldown needs", { schedule: { kind: "const-cooldown" } }],
  ["options.resume latest needs a folder", { resume: "latest" }],
  ["options.restartData needs resume", { restartData: true }],
  ["options.checkpoint needs a folder", { checkpoint: { keepLast: 1 } }],
  ["options.loss has no effect", { loss: "clip", objective: siglipObjective }],
  ["options.evaluation.retrieval.data cannot be opened", { evaluation: { retrieval: { data: "no.tar" } } }],
  [
    "options.evaluation.zeroShot.data cannot be evaluated on: none of its first 8 samples has a class",
    { evaluation: { zeroShot: { data } } },
  ],
  [
    "pass options.samplesPerEpoch or options.steps",
    { trainData: { ...data, size: undefined }, steps: undefined },
  ],
])("%s", async (message, wrong) => {
  const options = Object.fromEntries(
    Object.entries({ ...recipe(), ...wrong }).filter(([, value]) => value !== undefined),
  );
  await expect(trainRecipe(options as unknown as RecipeOptions)).rejects.toThrow(message);
});
